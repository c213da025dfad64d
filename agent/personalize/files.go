package personalize

import (
	"errors"
	"fmt"
	"path"

	"github.com/diskcast/diskcast/internal/personal"
)

// files writes files as they are given.
func files(list []personal.File) thing {
	return thing{name: "files",
		may: func(t *tree) error {
			for _, f := range list {
				if err := t.here(f.Path); err != nil {
					return err
				}
			}
			return nil
		},
		do: func(t *tree) (string, error) {
			for _, f := range list {
				if err := t.mkdirs(path.Dir(f.Path), attributes{mode: 0o755}); err != nil {
					return "", err
				}
				a, err := t.of(&f)
				if err != nil {
					return "", err
				}
				if err := t.write(f.Path, []byte(f.Content), a); err != nil {
					return "", err
				}
			}
			return fmt.Sprintf("%d written", len(list)), nil
		}}
}

// of is what a file is to have: what is given, or what it had, or root's 0644.
func (t *tree) of(f *personal.File) (attributes, error) {
	a := attributes{mode: 0o644, force: true}
	name, err := t.real(f.Path)
	if err != nil {
		return a, err
	}
	if there, err := t.exists(name); err != nil {
		return a, err
	} else if there {
		st, err := t.stat(name)
		if err != nil {
			return a, err
		}
		a.mode, a.uid, a.gid = st.Mode&0o7777, int(st.Uid), int(st.Gid)
	}
	bits, err := f.Bits()
	if bits != nil {
		a.mode = *bits
	}
	if f.UID != nil {
		a.uid = *f.UID
	}
	if f.GID != nil {
		a.gid = *f.GID
	}
	return a, err
}

const seedDir = "/var/lib/cloud/seed/nocloud"

// seed writes cloud-init's data source NoCloud.
func seed(s *personal.Seed) thing {
	return thing{name: "cloud-init seed",
		may: func(t *tree) error {
			there, err := t.exists("/etc/cloud")
			if err == nil && !there {
				err = errors.New("the image has no /etc/cloud: is cloud-init in it?")
			}
			return err
		},
		do: func(t *tree) (string, error) {
			if err := t.mkdirs(seedDir, attributes{mode: 0o755}); err != nil {
				return "", err
			}
			for name, content := range map[string]string{"meta-data": s.MetaData, "user-data": s.UserData,
				"network-config": s.NetworkConfig} {
				if name == "network-config" && content == "" {
					continue
				}
				if err := t.write(path.Join(seedDir, name), []byte(content), attributes{mode: 0o600}); err != nil {
					return "", err
				}
			}
			return "written to " + seedDir, nil
		}}
}
