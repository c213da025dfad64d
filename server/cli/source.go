package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/diskcast/diskcast/internal/image/capture"
)

// openSource opens a file or block device to be captured. sector, unless 0, is the sector size of a file, which is
// otherwise that of its partition table. A device that is mounted for writing is refused: its file systems would change
// under the capture.
func openSource(path string, sector int) (*capture.Source, error) {
	src, err := capture.OpenSource(path)
	if err != nil {
		return nil, err
	}
	if err := survey(src, path, sector); err != nil {
		src.Close()
		return nil, err
	}
	return src, nil
}

func survey(src *capture.Source, path string, sector int) error {
	info, err := src.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return notMounted(path)
	}
	if sector != 0 {
		src.SectorSize = sector
	}
	if err := foreign(src, path); err != nil {
		return err
	}
	if src.Size == 0 || src.Size%int64(src.SectorSize) != 0 {
		return fmt.Errorf("%s has %d bytes, which is not a whole number of %d-byte sectors: it is no raw disk image", path, src.Size, src.SectorSize)
	}
	return nil
}

// foreign refuses files that are known not to be raw images: their bytes would be captured as if they were a disk.
func foreign(r io.ReaderAt, path string) error {
	head := make([]byte, 32)
	if _, err := r.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read %s: %w", path, err)
	}
	for _, x := range []struct{ magic, format, hint string }{
		{"QFI\xfb", "a qcow2 image", "`qemu-img convert -O raw` makes a raw image of it"},
		{"KDMV", "a VMDK image", "`qemu-img convert -O raw` makes a raw image of it"},
		{"conectix", "a VHD image", "`qemu-img convert -O raw` makes a raw image of it"},
		{"vhdxfile", "a VHDX image", "`qemu-img convert -O raw` makes a raw image of it"},
		{"\x1f\x8b", "compressed with gzip", "unpack it first"},
		{"\xfd7zXZ\x00", "compressed with xz", "unpack it first"},
		{"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it first"},
		{"BZh", "compressed with bzip2", "unpack it first"},
		{"partclone-image\x00", "a partclone image", "`partclone.restore` makes a raw image of it"},
	} {
		if bytes.HasPrefix(head, []byte(x.magic)) {
			return fmt.Errorf("%s is %s, not a raw disk image: %s", path, x.format, x.hint)
		}
	}
	return nil
}

// notMounted refuses a disk of which some part is mounted for writing.
func notMounted(path string) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 4 || !strings.HasPrefix(f[0], real) || strings.Split(f[3], ",")[0] != "rw" {
			continue
		}
		rest := strings.TrimPrefix(strings.TrimPrefix(f[0], real), "p")
		if strings.Trim(rest, "0123456789") == "" {
			return fmt.Errorf("%s is mounted on %s: unmount it, or remount it read-only (`mount -o remount,ro %s`), and capture again", f[0], f[1], f[1])
		}
	}
	return nil
}
