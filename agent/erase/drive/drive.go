// Package drive is the disk of a real node under an erase: a block device that is opened for this process alone, past
// the page cache, with the commands that its driver hands on. A regular file can stand in its place, to try the agent
// out.
package drive

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/agent/erase/ata"
	"github.com/diskcast/diskcast/agent/erase/nvme"
	"github.com/diskcast/diskcast/internal/image/restore"
	"github.com/diskcast/diskcast/internal/session"
)

// Drive is an open disk or file.
type Drive struct {
	f      *os.File
	size   int64
	sector int
	file   bool // a regular file
	sys    string
	ata    ata.Port
	nvme   nvme.Controller
	nsid   uint32
}

// Open opens the disk. It fails when anything uses it.
func Open(d session.Disk) (*Drive, error) {
	st, err := os.Stat(d.Path)
	switch {
	case err != nil:
		return nil, err
	case st.Mode().IsRegular():
		return openFile(d)
	case st.Mode()&os.ModeDevice == 0 || st.Mode()&os.ModeCharDevice != 0:
		return nil, errors.New("it is neither a block device nor a file")
	}
	// O_EXCL without O_CREAT: fails when the device, or a partition of it, is mounted or part of something (open(2)).
	f, err := os.OpenFile(d.Path, os.O_RDWR|unix.O_EXCL|unix.O_DIRECT, 0)
	if errors.Is(err, unix.EBUSY) {
		return nil, fmt.Errorf("it is in use: unmount its file systems, stop the LVM, RAID or swap on it: %w", err)
	}
	if err != nil {
		return nil, err
	}
	v := &Drive{f: f}
	if err := v.device(); err != nil {
		f.Close()
		return nil, err
	}
	return v, nil
}

// device finds out what the block device is.
func (v *Drive) device() (err error) {
	if v.size, err = v.f.Seek(0, io.SeekEnd); err != nil {
		return fmt.Errorf("its size: %w", err)
	}
	if v.sector, err = unix.IoctlGetInt(int(v.f.Fd()), unix.BLKSSZGET); err != nil {
		return fmt.Errorf("its sector size: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(v.f.Fd()), &st); err != nil {
		return err
	}
	v.sys = fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	if _, err := os.Stat(filepath.Join(v.sys, "partition")); err == nil {
		return errors.New("it is a partition, and only whole disks are erased")
	}
	if strings.HasPrefix(filepath.Base(v.f.Name()), "nvme") {
		v.asNVMe()
	}
	if takesATA(v.sys) {
		v.ata = &port{v.f}
	}
	return nil
}

// takesATA reports whether ATA commands reach the disk. Others are not tried: there are USB sticks that such a command
// upsets. A disk of libata has the vendor ATA, one behind a translator (SAT) the VPD page "ATA information".
func takesATA(sys string) bool {
	vendor, err := os.ReadFile(filepath.Join(sys, "device/vendor"))
	if err == nil && strings.TrimSpace(string(vendor)) == "ATA" {
		return true
	}
	page, err := os.ReadFile(filepath.Join(sys, "device/vpd_pg89"))
	return err == nil && len(page) > 4 && page[1] == 0x89
}

func openFile(d session.Disk) (*Drive, error) {
	// Before it is opened here: that would count as a use.
	if err := restore.Unused(d.Path); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(d.Path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	v := &Drive{f: f, file: true, sector: d.SectorSize}
	if v.size, err = f.Seek(0, io.SeekEnd); err == nil {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err == nil && (v.sector < 512 || v.size%int64(v.sector) != 0) {
		err = fmt.Errorf("a file of %d bytes does not have whole sectors of %d", v.size, v.sector)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return v, nil
}

// Size is in bytes.
func (v *Drive) Size() int64 { return v.size }

// SectorSize is in bytes.
func (v *Drive) SectorSize() int { return v.sector }

// ReadAt reads whole sectors.
func (v *Drive) ReadAt(p []byte, off int64) (int, error) { return v.f.ReadAt(p, off) }

// WriteAt writes whole sectors.
func (v *Drive) WriteAt(p []byte, off int64) (int, error) { return v.f.WriteAt(p, off) }

// Flush has the disk write down what it keeps in its cache.
func (v *Drive) Flush() error { return v.f.Sync() }

// ATA is nil where no ATA command reaches the disk.
func (v *Drive) ATA() ata.Port { return v.ata }

// NVMe is nil where the disk is no NVMe namespace.
func (v *Drive) NVMe() (nvme.Controller, uint32) { return v.nvme, v.nsid }

// Close lets go.
func (v *Drive) Close() error { return v.f.Close() }
