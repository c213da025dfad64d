package cmd

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/pflag"

	"github.com/diskcast/diskcast/internal/personal"
)

// ownFlags are the flags of `session create` that make a restored machine itself.
type ownFlags struct {
	file, keys               string
	hostname, id, sshHostKey string
}

func (o *ownFlags) flags(f *pflag.FlagSet) {
	f.StringVar(&o.file, "personalize", "", "write into the restored system what this TOML file says")
	f.StringVar(&o.hostname, "hostname", "", "template of the restored machine's name: {{.Name}}, pc-{{.Labels.seat}}")
	f.StringVar(&o.keys, "authorized-keys", "", "add the public keys of this file to root's")
	f.StringVar(&o.id, "machine-id", "", "new or keep")
	f.StringVar(&o.sshHostKey, "ssh-host-keys", "", "new or keep")
}

// settings is what the flags ask for; nil for nothing. Flags win over the file.
func (o *ownFlags) settings(changed func(string) bool) (json.RawMessage, error) {
	var s personal.Settings
	if o.file != "" {
		if err := readTOML(o.file, &s); err != nil {
			return nil, err
		}
	}
	given := o.file != ""
	if a := s.Archive; a != nil {
		if err := readArchive(a, filepath.Dir(o.file)); err != nil {
			return nil, usage("--personalize: %w", err)
		}
	}
	for name, set := range map[string]func() error{
		"hostname":      func() error { s.Hostname = o.hostname; return nil },
		"machine-id":    func() error { s.MachineID = o.id; return nil },
		"ssh-host-keys": func() error { s.SSHHostKeys = o.sshHostKey; return nil },
		"authorized-keys": func() error {
			b, err := readBounded(o.keys)
			if err == nil && len(bytes.TrimSpace(b)) == 0 {
				err = fmt.Errorf("%s is empty: it has no key", o.keys)
			}
			if s.AuthorizedKeys == nil {
				s.AuthorizedKeys = map[string]string{}
			}
			s.AuthorizedKeys["root"] = string(b)
			return err
		},
	} {
		if !changed(name) {
			continue
		}
		given = true
		if err := set(); err != nil {
			return nil, usage("--%s: %w", name, err)
		}
	}
	if !given {
		return nil, nil
	}
	if err := s.Check(); err != nil {
		if o.file != "" {
			err = fmt.Errorf("--personalize %s: %w", o.file, err)
		}
		return nil, usage("%w", err)
	}
	return json.Marshal(&s)
}

// readTOML reads settings, and names the line of what is wrong without quoting it: it may be a secret.
func readTOML(file string, s *personal.Settings) error {
	b, err := readBounded(file)
	if err == nil && len(bytes.TrimSpace(b)) == 0 {
		err = fmt.Errorf("%s is empty: it says nothing of what the machine is to have of its own; leave the flag away "+
			"where that is meant", file)
	}
	if err != nil {
		return usage("--personalize: %w", err)
	}
	dec := toml.NewDecoder(bytes.NewReader(b)).DisallowUnknownFields()
	err = dec.Decode(s)
	var unknown *toml.StrictMissingError
	var wrong *toml.DecodeError
	switch {
	case err == nil:
		if err := personal.CheckContents(func(v any) error { return toml.Unmarshal(b, v) }); err != nil {
			return usage("%s: %w", file, err)
		}
		return nil
	case errors.As(err, &unknown) && len(unknown.Errors) > 0:
		line, _ := unknown.Errors[0].Position()
		return usage("%s:%d: unknown key %s", file, line, strings.Join(unknown.Errors[0].Key(), "."))
	case errors.As(err, &wrong):
		line, _ := wrong.Position()
		return usage("%s:%d: this is no TOML, or not of the type that the key wants", file, line)
	}
	return usage("%s: it cannot be read as TOML", file)
}

// readArchive reads the file that the settings name, from the folder that they are in.
func readArchive(a *personal.Archive, dir string) error {
	if a.File == "" {
		return errors.New("archive: file names none")
	}
	file := a.File
	if !filepath.IsAbs(file) {
		file = filepath.Join(dir, file)
	}
	b, err := readBounded(file)
	a.Content = base64.StdEncoding.EncodeToString(b)
	return err
}

func readBounded(file string) ([]byte, error) { return readWhole(file, personal.MaxSettings) }
