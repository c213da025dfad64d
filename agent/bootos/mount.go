package bootos

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Device is a partition, or with Number 0 a whole disk without a partition table.
type Device struct {
	Number int
	Path   string
}

// Mount mounts, read-only and below dir, every device that carries a file system which a boot loader reads.
// Unmount must be called, also after an error.
func Mount(dir string, devices []Device) (*Volumes, error) {
	v := NewVolumes()
	for _, d := range devices {
		vol, err := mountOne(filepath.Join(dir, strconv.Itoa(d.Number)), d)
		if err != nil {
			v.Skipped = append(v.Skipped, fmt.Sprintf("partition %d: %v", d.Number, err))
			continue
		}
		v.byNumber[d.Number] = *vol
	}
	if len(v.byNumber) == 0 {
		return v, fmt.Errorf("%w: nothing on the disk can be mounted: %v", ErrNoSystem, v)
	}
	return v, nil
}

var errUnknownFS = errors.New("no file system that a boot loader reads")

func mountOne(dir string, d Device) (*Volume, error) {
	f, err := os.Open(d.Path)
	if err != nil {
		return nil, err
	}
	k, id, label := identify(f)
	f.Close()
	if k == nil {
		return nil, errUnknownFS
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	// Nothing on the restored system is run or trusted here: no devices, no set-uid, no programs.
	const flags = unix.MS_RDONLY | unix.MS_NODEV | unix.MS_NOSUID | unix.MS_NOEXEC
	if err := unix.Mount(d.Path, dir, k.driver, flags, k.options); err != nil {
		if errors.Is(err, unix.ENODEV) {
			return nil, fmt.Errorf("%s: this kernel cannot read %s: is its module in the boot directory?", d.Path, k.name)
		}
		return nil, fmt.Errorf("mounting %s as %s: %w", d.Path, k.name, err)
	}
	return &Volume{Number: d.Number, Device: d.Path, Type: k.name, UUID: id, Label: label, Dir: dir}, nil
}

// Unmount takes everything down again.
func (v *Volumes) Unmount() error {
	var errs []error
	for _, n := range v.Numbers() {
		vol := v.byNumber[n]
		err := unix.Unmount(vol.Dir, 0)
		if errors.Is(err, unix.EBUSY) {
			// Whoever holds a file there must not hold up the restored system.
			err = unix.Unmount(vol.Dir, unix.MNT_DETACH)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", vol.Dir, err))
			continue
		}
		delete(v.byNumber, n)
		_ = os.Remove(vol.Dir)
	}
	return errors.Join(errs...)
}
