package restore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/volume/grow"
)

// FileSystem makes the file system that has grown partition around it fill it. path is the disk or the file that was
// restored to, which must be closed; of a disk, the kernel must have read the new table (RereadTable). sectorSize is
// that of a file.
//
// The error says in words what is left to be done, and by which command: the disk is sound then, and its system has
// less room than it could. Run again, also after a power cut in the middle, it does what is left, or nothing.
func (g Growth) FileSystem(ctx context.Context, path string, sectorSize int) error {
	if g.FS == "" {
		return nil
	}
	err := g.fileSystem(ctx, path, sectorSize)
	if err == nil || ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("%s has %d bytes now, but the %s in it was made for %d and does not use the rest: %w; in the "+
		"restored system `%s` makes it do so",
		g.where(), g.To, g.FS, g.From, err, grow.Command(g.FS))
}

// Words say what FileSystem did when it had no error.
func (g Growth) Words() string {
	return fmt.Sprintf("%s and its %s grew from %d to %d bytes", g.where(), g.FS, g.From, g.To)
}

func (g Growth) where() string {
	if g.Number == 0 {
		return "the disk"
	}
	return fmt.Sprintf("partition %d", g.Number)
}

func (g Growth) fileSystem(ctx context.Context, path string, sectorSize int) error {
	device, err := g.device(path)
	if err != nil {
		return err
	}
	if device == "" {
		f, err := grow.Loop(path, g.Start, g.To, sectorSize)
		if err != nil {
			return err
		}
		defer f.Close()
		device = f.Name()
	}
	return grow.FileSystem(ctx, device, g.FS)
}

// device is the kernel's device of the partition, empty when it has none. A file system that also has a device of its
// own must not be mounted by another one: somebody may have mounted it there.
func (g Growth) device(path string) (string, error) {
	st, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if st.Mode()&os.ModeDevice == 0 {
		return "", nil
	}
	if g.Number == 0 {
		return path, nil
	}
	var raw unix.Stat_t
	if err := unix.Stat(path, &raw); err != nil {
		return "", err
	}
	disk := fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(raw.Rdev), unix.Minor(raw.Rdev))
	files, err := filepath.Glob(disk + "/*/partition")
	if err != nil {
		return "", err
	}
	for _, f := range files {
		dir := filepath.Dir(f)
		if n, err := number(f); err != nil || n != int64(g.Number) {
			continue
		}
		start, err := number(filepath.Join(dir, "start"))
		size, err2 := number(filepath.Join(dir, "size"))
		if err := errors.Join(err, err2); err != nil {
			return "", err
		}
		// The kernel counts in 512 bytes, whatever the disk's sectors are.
		if start*512 != g.Start || size*512 != g.To {
			return "", fmt.Errorf("the kernel has not taken over the new partition table of %s", path)
		}
		return "/dev/" + strings.ReplaceAll(filepath.Base(dir), "!", "/"), nil
	}
	return "", nil
}

func number(file string) (int64, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
}
