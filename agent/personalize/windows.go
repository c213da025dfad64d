package personalize

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/agent/bootos"
	"github.com/diskcast/diskcast/internal/personal"
)

// windows puts the answer file where Windows' setup looks, into the one NTFS of the disk that has a Windows.
func (p *Personalizer) windows(ctx context.Context, devices []bootos.Device, w *personal.Windows) (string, error) {
	found, err := p.findWindows(devices)
	if err != nil {
		return "", err
	}
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	where := fmt.Sprintf("partition %d (ntfs)", found.Number)
	var said string
	err = p.withNTFS(found.Path, func(root *os.Root) (err error) {
		said, err = answer(root, []byte(w.Unattend))
		return err
	})
	if err != nil {
		return "", fmt.Errorf("the system in %s is not made this machine's own: %w. It is not to be started; restore "+
			"it again", where, err)
	}
	p.Log.Info("personalize: windows: "+said, "on", found.Path)
	return "in " + where + ": windows: " + said, nil
}

// findWindows chooses. A volume in which Windows is hibernated, or that was not shut down in order, is never mounted:
// the one has its files in its memory, the other's journal would be replayed.
func (p *Personalizer) findWindows(devices []bootos.Device) (found *bootos.Device, err error) {
	var unclean []string
	ntfs := 0
	for i := range devices {
		kind, clean, err := probed(devices[i].Path)
		if err != nil {
			return nil, err
		}
		if kind != "ntfs" {
			continue
		}
		ntfs++
		if !clean {
			unclean = append(unclean, fmt.Sprintf("partition %d", devices[i].Number))
			continue
		}
		is := false
		if err := p.withNTFS(devices[i].Path, func(root *os.Root) error {
			_, err := within(root, "Windows", "System32", "config", "SYSTEM")
			is = err == nil
			if errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
			return err
		}); err != nil {
			return nil, err
		}
		if is && found != nil {
			return nil, fmt.Errorf("the disk has several Windows (partitions %d and %d), and nothing says which is "+
				"meant: nothing was personalized", found.Number, devices[i].Number)
		}
		if is {
			found = &devices[i]
		}
	}
	switch {
	case len(unclean) > 0:
		return nil, fmt.Errorf("%s (ntfs): Windows is hibernated in it or was not shut down cleanly (fast startup "+
			"does that), so nothing was written to it: shut it down with `shutdown /s /f /t 0`, and capture it again",
			strings.Join(unclean, ", "))
	case found == nil && ntfs == 0:
		return nil, errors.New("no NTFS was found on the disk: nothing was personalized")
	case found == nil:
		return nil, errors.New("no NTFS of the disk has a Windows (Windows/System32/config/SYSTEM): nothing was " +
			"personalized")
	}
	return found, nil
}

// withNTFS mounts a volume for f.
func (p *Personalizer) withNTFS(device string, f func(root *os.Root) error) (err error) {
	mount := p.mountNTFS
	if mount == nil {
		mount = ntfs3
	}
	unmount, err := mountIn(p.Dir, device, mount)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unmount()) }()
	root, err := os.OpenRoot(p.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	return f(root)
}

// ntfs3 mounts by the kernel's driver, which is in Linux since 5.15. It refuses a volume that is marked dirty.
func ntfs3(device, dir string) (unmount func() error, err error) {
	unmount, err = mountFS(device, dir, "ntfs3", "")
	if errors.Is(err, unix.ENODEV) {
		return nil, errors.New("this node's kernel has no ntfs3, without which nothing is written to a Windows: make " +
			"the boot directory with a kernel that has it (Debian 13, Ubuntu 22.04, or later)")
	}
	if err != nil {
		return nil, fmt.Errorf("mounting %s with ntfs3: %w", device, err)
	}
	return unmount, nil
}

// within finds a path whatever the case of its letters, as Windows does.
func within(root *os.Root, elements ...string) (string, error) {
	at := "."
	for _, e := range elements {
		f, err := root.Open(at)
		if err != nil {
			return "", err
		}
		names, err := f.Readdirnames(-1)
		f.Close()
		if err != nil {
			return "", err
		}
		next := ""
		for _, n := range names {
			if strings.EqualFold(n, e) {
				next = n
			}
		}
		if next == "" {
			return "", fmt.Errorf("%s/%s: %w", at, e, fs.ErrNotExist)
		}
		at = path.Join(at, next)
	}
	return at, nil
}

// answer writes unattend.xml into Windows\Panther. Setup looks there after Panther\Unattend and before all other places
// (Windows Setup: implicit answer file search order), so one that is in that folder is refused.
func answer(root *os.Root, text []byte) (string, error) {
	for _, name := range []string{"unattend.xml", "autounattend.xml"} {
		if at, err := within(root, "Windows", "Panther", "Unattend", name); err == nil {
			return "", fmt.Errorf("the image has %s, which setup would take instead: remove it from the image", at)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	windows, err := within(root, "Windows")
	if err != nil {
		return "", err
	}
	dir, err := within(root, "Windows", "Panther")
	if errors.Is(err, fs.ErrNotExist) {
		dir = path.Join(windows, "Panther")
		err = root.Mkdir(dir, 0o755)
	}
	if err != nil {
		return "", err
	}
	name, err := within(root, "Windows", "Panther", "unattend.xml")
	if errors.Is(err, fs.ErrNotExist) {
		name, err = path.Join(dir, "unattend.xml"), nil
	}
	if err != nil {
		return "", err
	}
	if fi, err := root.Lstat(name); err == nil && !fi.Mode().IsRegular() {
		return "", fmt.Errorf("%s is there and is not a regular file", name)
	}
	tmp := path.Join(dir, "diskcast-"+rand.Text())
	f, err := root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = root.Rename(tmp, name)
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("writing %s: %w", name, err), root.Remove(tmp))
	}
	return fmt.Sprintf("%s of %d bytes", name, len(text)), nil
}
