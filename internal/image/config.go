package image

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/diskcast/diskcast/internal/volume"
)

// ConfigVersion is the version of Config that this package writes for a disk.
const ConfigVersion = 1

// PartitionVersion is that of an image of one partition: a reader from before them refuses it, where it would take it
// for a disk and write it over one.
const PartitionVersion = 2

// MaxConfig bounds, in bytes, a config blob.
const MaxConfig = 4 << 20

// Firmware kinds of Config.
const (
	BIOS = "bios"
	UEFI = "uefi"
	Both = "bios+uefi"
)

// Best is Config.Level of an image that was compressed again, and all of it.
const Best = "best"

// Config is the config blob of an image: what the operator and the plan of a restore must know of the source disk.
// Nothing in it depends on when, where or by whom the disk was captured, so that one disk always gives one digest.
type Config struct {
	V          int   `json:"v"`
	DiskSize   int64 `json:"disk_size"`   // bytes
	SectorSize int   `json:"sector_size"` // bytes of a logical sector of the source, as its table counts
	// Table is the partition table, parsed, with the raw sectors that cannot be made again from what was parsed.
	Table *volume.Table `json:"table"`
	// Partitions tells what is in each partition of Table, in the same order. For a Table of kind none it is one
	// entry with number 0: the whole disk.
	Partitions []Partition `json:"partitions"`
	// Firmware is what the disk can be started by as far as its table tells: BIOS, UEFI, Both, or empty.
	Firmware string `json:"firmware,omitempty"`
	// EFI is what the disk's EFI system partitions have for UEFI firmware to start; nil when there are none, and in
	// images from before this was recorded.
	EFI *EFI `json:"efi,omitempty"`
	// Origin is where the partition was, in an image of one partition; nil in one of a disk. The disk of all other
	// fields is then the partition, without a table.
	Origin *Origin `json:"origin,omitempty"`
	// Level of compression: fast, default, small, or Best. Frames that the store had already may be of another level,
	// except in an image of Best.
	Level  string `json:"level"`
	Chunks int    `json:"chunks"`
	Stored int64  `json:"stored"` // bytes of the disk that are in frames
	Zeros  int64  `json:"zeros"`  // bytes of the disk recorded as zero
	// Content is Index.Content in hex: equal for two images of the same disk even when they were compressed at
	// different levels or share blobs with different images.
	Content string `json:"content"`
}

// EFI lists programs by their paths on an EFI system partition: "EFI/debian/shimx64.efi".
type EFI struct {
	// Fallbacks are what firmware starts on a disk that it knows nothing of: EFI/BOOT/BOOTX64.EFI and those of other
	// processors.
	Fallbacks []string `json:"fallbacks,omitempty"`
	// all others that are known; only a boot entry in the firmware's memory starts them
	Loaders []string `json:"loaders,omitempty"`
	Problem string   `json:"problem,omitempty"` // in words, when a partition could not be read
}

// Origin is the partition that an image was made of, in the table that it was in. A restore goes by none of it.
type Origin struct {
	Number   int    `json:"number"`
	Start    int64  `json:"start"`     // bytes
	DiskSize int64  `json:"disk_size"` // bytes of the whole disk
	Table    string `json:"table"`     // gpt or dos
	Type     string `json:"type"`
	UUID     string `json:"uuid,omitempty"`
	Name     string `json:"name,omitempty"`
	Image    string `json:"image,omitempty"` // manifest of the disk's image that it was cut out of; empty: captured
}

// Partition is what is in a partition of the source. Sizes are in bytes.
type Partition struct {
	Number int   `json:"number"`
	Start  int64 `json:"start"`
	Size   int64 `json:"size"`

	FS        string `json:"fs"` // as blkid names it: ext4, vfat, swap, ...; raw when not understood
	Label     string `json:"label,omitempty"`
	UUID      string `json:"uuid,omitempty"`
	FSSize    int64  `json:"fs_size,omitempty"`    // bytes that the file system claims
	BlockSize int64  `json:"block_size,omitempty"` // bytes of an allocation unit
	Used      int64  `json:"used"`                 // bytes in use by the file system's own account
	Allocated int64  `json:"allocated"`            // bytes of the partition that are in the image, zeros included
	Clean     bool   `json:"clean"`                // it was unmounted in order
	// BootCopy is the last sector of the partition, 512 bytes, when it lies behind the end of an NTFS that has a backup
	// of its boot sector of its own and is one more copy of it. It is in the image like other bytes; on a smaller disk
	// it is written at the new end.
	BootCopy []byte   `json:"boot_copy,omitempty"`
	Notes    []string `json:"notes,omitempty"` // in words for the operator
}

// CheckSize says before anything was read that the config of a disk, which lacks only what the chunks tell, is larger
// than anybody takes.
func (c *Config) CheckSize() error {
	full := *c
	full.Content = strings.Repeat("0", 64)
	full.Level, full.Chunks, full.Stored, full.Zeros = Default, math.MaxInt32, c.DiskSize, 0
	_, err := full.Marshal()
	return err
}

// Marshal returns the config blob.
func (c *Config) Marshal() ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	b, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	if len(b) > MaxConfig {
		return nil, fmt.Errorf("what there is to say of the disk's %d partitions has %d bytes, more than the %d that "+
			"an image can hold: capture the partitions one by one",
			len(c.Partitions), len(b), MaxConfig)
	}
	return b, nil
}

// ParseConfig parses and checks a config blob. Fields that it does not know are ignored, another version is refused.
func ParseConfig(b []byte) (*Config, error) {
	if len(b) > MaxConfig {
		return nil, fmt.Errorf("config: %w: it has %d bytes, more than the %d allowed", ErrFormat, len(b), MaxConfig)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	var c Config
	if err := dec.Decode(&c); err != nil {
		return nil, fmt.Errorf("config: %w: %w", ErrFormat, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("config: %w: data follows its end", ErrFormat)
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("config: %w: %w", ErrFormat, err)
	}
	return &c, nil
}

func (c *Config) check() error {
	switch {
	case c.V != ConfigVersion && c.V != PartitionVersion:
		return fmt.Errorf("it has version %d; this program reads versions %d and %d", c.V, ConfigVersion,
			PartitionVersion)
	case (c.V == PartitionVersion) != (c.Origin != nil):
		return fmt.Errorf("version %d is that of an image of one partition, and version %d of one of a disk",
			PartitionVersion, ConfigVersion)
	case c.DiskSize < 0 || c.DiskSize > maxDisk:
		return fmt.Errorf("a disk of %d bytes", c.DiskSize)
	case c.SectorSize < 512 || c.SectorSize > 65536 || c.SectorSize&(c.SectorSize-1) != 0:
		return fmt.Errorf("sectors of %d bytes", c.SectorSize)
	case c.Table == nil:
		return fmt.Errorf("it has no partition table")
	case c.Table.Kind != "gpt" && c.Table.Kind != "dos" && c.Table.Kind != "none":
		return fmt.Errorf("partition table of kind %q", c.Table.Kind)
	case c.Table.DiskSize != c.DiskSize || c.Table.SectorSize != c.SectorSize:
		return fmt.Errorf("the partition table is of a disk of %d bytes in sectors of %d, the disk has %d in sectors "+
			"of %d",
			c.Table.DiskSize, c.Table.SectorSize, c.DiskSize, c.SectorSize)
	case c.Chunks < 0 || c.Stored < 0 || c.Zeros < 0 || c.Stored > c.DiskSize || c.Zeros > c.DiskSize-c.Stored:
		return fmt.Errorf("%d stored and %d zero bytes on a disk of %d", c.Stored, c.Zeros, c.DiskSize)
	}
	if b, err := hex.DecodeString(c.Content); err != nil || len(b) != 32 {
		return fmt.Errorf("content sum %q is not 64 hex digits", c.Content)
	}
	if err := c.checkOrigin(); err != nil {
		return err
	}
	if e := c.EFI; e != nil && len(e.Fallbacks)+len(e.Loaders) > maxPrograms {
		return fmt.Errorf("%d programs for UEFI firmware, more than %d", len(e.Fallbacks)+len(e.Loaders), maxPrograms)
	}
	return c.checkPartitions()
}

func (c *Config) checkOrigin() error {
	o := c.Origin
	switch {
	case o == nil:
		return nil
	case c.Table.Kind != "none" || c.Table.Refused:
		return fmt.Errorf("an image of one partition has a partition table of kind %q", c.Table.Kind)
	case o.Number < 1 || o.Start <= 0 || o.DiskSize > maxDisk || o.Start > o.DiskSize ||
		c.DiskSize > o.DiskSize-o.Start:
		return fmt.Errorf("partition %d (%d bytes from %d) did not lie on a disk of %d bytes", o.Number, c.DiskSize,
			o.Start, o.DiskSize)
	case o.Table != "gpt" && o.Table != "dos":
		return fmt.Errorf("the partition was in a table of kind %q", o.Table)
	}
	return nil
}

// maxPrograms bounds what EFI lists.
const maxPrograms = 1024

func (c *Config) checkPartitions() error {
	if c.Table.Kind == "none" {
		if len(c.Partitions) != 1 || len(c.Table.Partitions) != 0 {
			return fmt.Errorf("a disk without partition table has %d partitions", len(c.Partitions))
		}
	} else if len(c.Partitions) != len(c.Table.Partitions) {
		return fmt.Errorf("%d partitions in the table, %d described", len(c.Table.Partitions), len(c.Partitions))
	}
	for i := range c.Partitions {
		p := &c.Partitions[i]
		if p.Start < 0 || p.Size < 0 || p.Start > c.DiskSize || p.Size > c.DiskSize-p.Start {
			return fmt.Errorf("partition %d (%d bytes from %d) does not lie on the disk", p.Number, p.Size, p.Start)
		}
		if p.FSSize < 0 || p.BlockSize < 0 || p.Used < 0 || p.Allocated < 0 {
			return fmt.Errorf("partition %d has a negative size", p.Number)
		}
		if n := int64(len(p.BootCopy)); n != 0 && (n != 512 || p.FSSize > p.Size-n) {
			return fmt.Errorf("partition %d has %d bytes as the copy of its boot sector", p.Number, n)
		}
		if c.Table.Kind == "none" {
			continue
		}
		if t := &c.Table.Partitions[i]; t.Number != p.Number || t.Start != p.Start || t.Size != p.Size {
			return fmt.Errorf("partition %d is not where the table has it", p.Number)
		}
	}
	return nil
}
