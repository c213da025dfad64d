// Package personalize writes into a restored system what makes the machine itself: it finds the file system that is the
// system's root, mounts it, does one thing after the other, and takes it down again.
//
// Everything that can be refused is refused before the first write: no root or several, a file system that was not shut
// down in order, a thing that this system has no place for. Every path is resolved inside the restored system, whatever
// its symbolic links say. A file is whole or not there: it is written beside its place and renamed.
//
// What is half done is never called done. A node that is switched off here gets its part anew, restores what differs
// from the image (the half, too), and begins again: so nothing here has to know what was done before.
package personalize

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/agent/bootos"
	"github.com/diskcast/diskcast/internal/personal"
)

// Personalizer does it on a node.
type Personalizer struct {
	Dir string       // where the restored system is mounted meanwhile; made and removed
	Log *slog.Logger // gets a line for each thing done; nil discards
	// Boots finds what the machine would start from the disk, which is not mounted meanwhile. It is only asked where
	// words for the kernel are to be added.
	Boots func() (*bootos.System, error)

	mountNTFS func(device, dir string) (unmount func() error, err error) // nil: by the kernel
}

// Apply does what the document says to the system on the devices, which are a disk's partitions. It returns in words
// what was done.
func (p *Personalizer) Apply(ctx context.Context, devices []bootos.Device, d *personal.Document) (done string,
	err error) {
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	if w := d.Things.Windows; w != nil {
		return p.windows(ctx, devices, w)
	}
	l, err := logicalVolumes(devices)
	if err != nil {
		return "", err
	}
	defer l.close()
	r, err := find(p.Dir, slices.Concat(devices, l.devices), l.lacking)
	if err != nil {
		return "", err
	}
	if err := r.clean("root"); err != nil {
		return "", err
	}
	var before *bootos.System
	things := d.Things
	if len(things.KernelWords) > 0 {
		if before, err = p.boots(); err != nil {
			return "", err
		}
		things.KernelWords = lacking(before, things.KernelWords)
	}
	words, err := p.mounted(ctx, r, &things)
	if err == nil && len(things.KernelWords) > 0 {
		var now *bootos.System
		if now, err = p.boots(); err == nil {
			err = added(before, now, things.KernelWords)
		}
	} else if err == nil && before != nil {
		words += "; kernel words: they were there"
	}
	if err != nil {
		return "", fmt.Errorf("the system in %s is not made this machine's own: %w. The disk has the image and a part "+
			"of it: it is not to be started; restore it again", r.words(), err)
	}
	return "in " + r.words() + ": " + strings.TrimPrefix(words, "; "), nil
}

// mounted mounts the system, and what a boot loader's files are on where words for the kernel are to be added.
func (p *Personalizer) mounted(ctx context.Context, r *root, s *personal.Settings) (words string, err error) {
	unmount, err := r.mount(p.Dir)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, unmount()) }()
	boot := map[string]string{}
	if len(s.KernelWords) > 0 {
		for at, vol := range r.boot {
			if vol == nil {
				boot[at] = ""
				continue
			}
			b := &root{vol: *vol}
			if !slices.Contains(writable, vol.Type) && vol.Type != "vfat" {
				return "", fmt.Errorf("%s, %s, is not written to by this agent", at, b.words())
			}
			if err := b.clean(at); err != nil {
				return "", err
			}
			dir := p.Dir + strings.ReplaceAll(at, "/", "-")
			unmount, err := b.mount(dir)
			if err != nil {
				return "", err
			}
			defer func() { err = errors.Join(err, unmount()) }()
			boot[at] = dir
		}
	}
	return p.inside(ctx, r, boot, s)
}

// inside works in the mounted system.
func (p *Personalizer) inside(ctx context.Context, r *root, boot map[string]string, s *personal.Settings) (words string,
	err error) {
	t, err := openTree(p.Dir, r.below)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	for at, dir := range boot {
		var b *tree
		if dir != "" {
			if b, err = openTree(dir, nil); err != nil {
				return "", err
			}
		}
		t.boot[at] = b
	}
	todo := p.things(ctx, s)
	for _, x := range todo {
		if x.may == nil {
			continue
		}
		if err := x.may(t); err != nil {
			return "", fmt.Errorf("%s: %w", x.name, err)
		}
	}
	var names []string
	for _, x := range todo {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		said, err := x.do(t)
		if err != nil {
			return "", fmt.Errorf("%s: %w", x.name, err)
		}
		p.Log.Info("personalize: "+x.name+": "+said, "on", r.vol.Device)
		names = append(names, x.name+": "+said)
	}
	if said, err := t.relabel(); err != nil {
		return "", err
	} else if said != "" {
		p.Log.Info("personalize: " + said)
		names = append(names, said)
	}
	return strings.Join(names, "; "), nil
}

// thing is one of what a machine may have of its own.
type thing struct {
	name string
	may  func(t *tree) error // why it cannot be done in this system, before anything is written
	do   func(t *tree) (said string, err error)
}

// things lists what the settings ask for.
func (p *Personalizer) things(ctx context.Context, s *personal.Settings) []thing {
	var out []thing
	add := func(wanted bool, x thing) {
		if wanted {
			out = append(out, x)
		}
	}
	add(s.Hostname != "", hostname(s.Hostname))
	add(s.MachineID == personal.New, machineID())
	add(s.SSHHostKeys == personal.New, hostKeys())
	add(len(s.AuthorizedKeys) > 0, authorizedKeys(s.AuthorizedKeys))
	add(len(s.Passwords) > 0, passwords(s.Passwords))
	add(s.TimeZone != "", timeZone(s.TimeZone))
	add(s.Seed != nil, seed(s.Seed))
	add(len(s.Network) > 0, network(s.Network, s.NetworkWith))
	add(s.Archive != nil, archive(s.Archive))
	add(len(s.Files) > 0, files(s.Files))
	add(len(s.KernelWords) > 0, kernelWords(s.KernelWords))
	add(s.Script != nil, script(ctx, s.Script, p.Log)) // last: it finds all the others done
	return out
}

// mount mounts the root for writing.
func (r *root) mount(dir string) (unmount func() error, err error) {
	options := ""
	switch r.vol.Type {
	case "btrfs":
		options = "subvol=/" + strings.TrimPrefix(r.sub, "/")
	case "xfs":
		options = "nouuid"
	}
	return mountIn(dir, r.vol.Device, func(device, dir string) (func() error, error) {
		unmount, err := mountFS(device, dir, r.vol.Type, options)
		if err != nil {
			return nil, fmt.Errorf("mounting %s for writing: %w", r.words(), err)
		}
		return unmount, nil
	})
}

// mountIn makes the folder and mounts the device there. What undoes it has everything on the disk, and removes the
// folder.
func mountIn(dir, device string, mount func(device, dir string) (unmount func() error, err error)) (undo func() error,
	err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	unmount, err := mount(device, dir)
	if err != nil {
		return nil, err
	}
	return func() error {
		if err := unmount(); err != nil {
			return err
		}
		return errors.Join(flush(device), os.Remove(dir))
	}, nil
}

// mountFS has the kernel mount a file system for writing. Nothing of the restored system is run: no devices, no
// set-uid, no programs.
func mountFS(device, dir, fstype, options string) (unmount func() error, err error) {
	const flags = unix.MS_NODEV | unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NOATIME
	if err := unix.Mount(device, dir, fstype, flags, options); err != nil {
		return nil, err
	}
	return func() error {
		if err := unix.Unmount(dir, 0); err != nil {
			return fmt.Errorf("unmounting %s: %w", dir, err)
		}
		return nil
	}, nil
}

// flush has everything of the device on the disk.
func flush(device string) error {
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("%s: flushing: %w", device, err)
	}
	return nil
}
