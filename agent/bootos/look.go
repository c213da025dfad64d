package bootos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/grow"
	"github.com/diskcast/diskcast/internal/volume/table"
)

// Look finds the system that a machine would start from a disk, or from a file that has one's bytes: with UEFI, or else
// with a BIOS. Nothing is written and nothing is started. What such a machine's own variables say (boot entries,
// systemd-boot's) is not known. It mounts, which wants root.
func Look(path string, uefi bool, log *slog.Logger) (s *System, err error) {
	return LookWith(context.Background(), path, uefi, "", log)
}

// LookWith is Look where the site gives the passphrase that the loader would ask for; empty for none.
func LookWith(ctx context.Context, path string, uefi bool, passphrase string, log *slog.Logger) (s *System, err error) {
	d, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	size, err := d.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	sector := 512
	if n, err := unix.IoctlGetInt(int(d.Fd()), unix.BLKSSZGET); err == nil {
		sector = n
	}
	t, err := table.Read(d, size, sector)
	if err != nil {
		return nil, fmt.Errorf("%s: reading the partition table: %w", path, err)
	}
	fw := Firmware{UEFI: true, Table: tableName(t)}
	if !uefi {
		if fw, err = bios(d, t, log); err != nil {
			return nil, err
		}
	}
	devices, detach, err := loops(path, t, size)
	defer detach()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "what-boots-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	devices, encrypted, release := assemble(ctx, devices, nil, keyOf(passphrase, "/", dir))
	defer release()
	v := Mount(dir, devices)
	v.encrypted = encrypted
	defer func() { err = errors.Join(err, v.Unmount()) }()
	return Find(v, fw)
}

// loops makes a read-only device of each partition: of a file the kernel knows none.
func loops(path string, t *volume.Table, size int64) (devices []Device, detach func(), err error) {
	var open []*os.File
	detach = func() {
		for _, f := range open {
			f.Close()
		}
	}
	parts := t.Partitions
	if t.Kind == table.KindNone {
		parts = []volume.Partition{{Size: size}}
	}
	for _, p := range parts {
		f, err := grow.LoopReadOnly(path, p.Start, p.Size, t.SectorSize)
		if err != nil {
			return nil, detach, fmt.Errorf("partition %d: %w", p.Number, err)
		}
		open = append(open, f)
		devices = append(devices, device(t, p, f.Name()))
	}
	return devices, detach, nil
}
