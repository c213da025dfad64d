package capture

import (
	"fmt"
	"io"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/esp"
	"github.com/diskcast/diskcast/internal/volume/fat"
	"github.com/diskcast/diskcast/internal/volume/probe"
	"github.com/diskcast/diskcast/internal/volume/table"
)

// Survey reads the partition table and the allocation maps of a disk.
func Survey(src io.ReaderAt, size int64, sectorSize int) (*Disk, error) {
	if size <= 0 {
		return nil, fmt.Errorf("the disk has %d bytes: there is nothing to capture", size)
	}
	t, err := table.Read(src, size, sectorSize)
	if err != nil {
		return nil, fmt.Errorf("reading the partition table: %w", err)
	}
	cfg := &image.Config{V: image.ConfigVersion, DiskSize: size, SectorSize: t.SectorSize, Table: t, Firmware: firmware(t)}
	parts := t.Partitions
	if t.Kind == "none" {
		parts = []volume.Partition{{Number: 0, Start: 0, Size: size}}
	}
	disk, err := probe.NewDisk(src, t)
	if err != nil {
		return nil, err
	}
	all := [][]volume.Extent{t.Regions}
	for _, p := range parts {
		if p.Start < 0 || p.Size < 0 || p.Start > size || p.Size > size-p.Start {
			return nil, fmt.Errorf("partition %d (%d bytes from %d) ends beyond the disk of %d bytes: repair the table first", p.Number, p.Size, p.Start, size)
		}
		fs, err := disk.Partition(p)
		if err != nil {
			return nil, fmt.Errorf("partition %d: %w", p.Number, err)
		}
		ext, err := fs.Extents()
		if err != nil {
			return nil, fmt.Errorf("partition %d (%s): %w", p.Number, fs.Type(), err)
		}
		var used int64
		moved := make([]volume.Extent, len(ext))
		for i, e := range ext {
			if e.Offset < 0 || e.Length <= 0 || e.Offset > p.Size || e.Length > p.Size-e.Offset {
				return nil, fmt.Errorf("partition %d (%s): its map has %d bytes at %d, beyond its %d bytes", p.Number, fs.Type(), e.Length, e.Offset, p.Size)
			}
			moved[i] = volume.Extent{Offset: p.Start + e.Offset, Length: e.Length}
			used += e.Length
		}
		all = append(all, moved)
		in := fs.Info()
		cfg.Partitions = append(cfg.Partitions, image.Partition{
			Number: p.Number, Start: p.Start, Size: p.Size,
			FS: fs.Type(), Label: in.Label, UUID: in.UUID, FSSize: in.Size, BlockSize: in.BlockSize,
			Used: in.Used, Allocated: used, Clean: in.Clean, Notes: in.Notes,
		})
		if esp.Is(p.Type) || t.Kind == "none" && fs.Type() == "vfat" {
			startable(cfg, p, io.NewSectionReader(src, p.Start, p.Size))
		}
	}
	// Table.Regions lies outside of what table.Write makes; what a partition claims of the table's own places is not for us to write.
	pieces, err := table.Layout(t, size, t.SectorSize)
	if err != nil {
		return nil, fmt.Errorf("the partition table could not be made again: %w", err)
	}
	var own []volume.Extent
	for _, p := range pieces {
		own = append(own, volume.Extent{Offset: p.Offset, Length: int64(len(p.Data))})
	}
	ext := volume.Subtract(volume.Merge(size, all...), volume.Merge(size, own))
	return &Disk{Config: cfg, Extents: ext, Table: t}, cfg.CheckSize()
}

// startable records what UEFI firmware can start from a partition.
func startable(cfg *image.Config, p volume.Partition, r io.ReaderAt) {
	found := &esp.Contents{}
	f, err := fat.Open(r, p.Size)
	if err == nil {
		found, err = esp.Scan(f)
	}
	if cfg.Table.Kind == "none" && (err != nil || len(found.Fallbacks) == 0) {
		return // a file system like any other
	}
	if cfg.EFI == nil {
		cfg.EFI = &image.EFI{}
	}
	if err != nil {
		cfg.EFI.Problem = fmt.Sprintf("partition %d: %v", p.Number, err)
		return
	}
	for _, l := range found.Fallbacks {
		cfg.EFI.Fallbacks = append(cfg.EFI.Fallbacks, l.Path)
	}
	for _, l := range found.Loaders {
		cfg.EFI.Loaders = append(cfg.EFI.Loaders, l.Path)
	}
}

// typeBIOSBoot is the type of the partition that GRUB's second stage is in.
const typeBIOSBoot = "21686148-6449-6e6f-744e-656564454649"

func firmware(t *volume.Table) string {
	var bios, uefi bool
	for _, p := range t.Partitions {
		uefi = uefi || esp.Is(p.Type)
		bios = bios || p.Type == typeBIOSBoot
	}
	if t.Kind == "dos" && len(t.MBR) >= 512 {
		for _, b := range t.MBR[:440] { // boot code, before the disk signature
			bios = bios || b != 0
		}
	}
	switch {
	case bios && uefi:
		return image.Both
	case bios:
		return image.BIOS
	case uefi:
		return image.UEFI
	}
	return ""
}
