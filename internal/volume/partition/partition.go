// Package partition finds one partition of a disk, and refuses it where a program that writes into it could harm
// another: in a table that is not beyond doubt, or one of whose entries names a part of it too.
package partition

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/table"
)

// By names a partition; exactly one field is set.
type By struct {
	Number int
	Name   string // in the GPT
	UUID   string // PARTUUID
}

// Found is a partition and the table that it is in.
type Found struct {
	volume.Partition
	Table *volume.Table
}

// Find reads the table of a disk of size bytes with sectors of sectorSize, and returns the partition.
func Find(r io.ReaderAt, size int64, sectorSize int, by By) (*Found, error) {
	t, err := table.Read(r, size, sectorSize)
	if err != nil {
		return nil, fmt.Errorf("reading the partition table: %w", err)
	}
	if err := sound(r, t, size, sectorSize); err != nil {
		return nil, err
	}
	p, err := pick(t, by)
	if err != nil {
		return nil, err
	}
	return &Found{Partition: *p, Table: t}, alone(t, p, size, sectorSize)
}

// sound refuses a table in doubt.
func sound(r io.ReaderAt, t *volume.Table, size int64, sectorSize int) error {
	switch {
	case t.Kind == table.KindNone:
		return fmt.Errorf("the disk has no partition table that can be believed: %s", strings.Join(t.Notes, " "))
	case t.SectorSize != sectorSize:
		return fmt.Errorf("the disk's partition table was made for sectors of %d bytes, and the disk has sectors of %d",
			t.SectorSize, sectorSize)
	case t.Kind == table.KindGPT && hybrid(t.MBR):
		return fmt.Errorf("the disk has a hybrid partition table, in which one place may have two names: remove the " +
			"entries of the MBR first (gdisk: x, n, w)")
	}
	same, err := table.Same(r, t, size, sectorSize)
	if err != nil {
		return err
	}
	if !same {
		return fmt.Errorf("one copy of the disk's partition table is damaged: %s Repair it first (`sgdisk -v`, "+
			"`sgdisk -e`)",
			strings.Join(t.Notes, " "))
	}
	return nil
}

// hybrid says whether the MBR beside a GPT has other entries than the one that protects it.
func hybrid(mbr []byte) bool {
	for at := 446; len(mbr) >= 512 && at < 510; at += 16 {
		if kind := mbr[at+4]; kind != 0xee && (kind != 0 || binary.LittleEndian.Uint32(mbr[at+12:]) != 0) {
			return true
		}
	}
	return false
}

func pick(t *volume.Table, by By) (*volume.Partition, error) {
	var found []*volume.Partition
	for i := range t.Partitions {
		p := &t.Partitions[i]
		if by.Number != 0 && p.Number == by.Number || by.Name != "" && t.Kind == table.KindGPT && p.Name == by.Name ||
			by.UUID != "" && strings.EqualFold(UUID(t, p), by.UUID) {
			found = append(found, p)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return nil, fmt.Errorf("%s is ambiguous: partitions %d and %d of the disk are called so; name one by its "+
			"number",
			by.words(), found[0].Number, found[1].Number)
	case t.Extended != nil && by.Number == t.Extended.Number:
		return nil, fmt.Errorf("partition %d is the extended one, which holds others: name one of these", by.Number)
	}
	var has []string
	for i := range t.Partitions {
		p := &t.Partitions[i]
		has = append(has, strings.TrimSpace(fmt.Sprintf("%d %s", p.Number, p.Name)))
	}
	return nil, fmt.Errorf("the disk has no %s; it has: %s", by.words(), strings.Join(has, ", "))
}

func (by By) words() string {
	switch {
	case by.Name != "":
		return fmt.Sprintf("partition with the name %q", by.Name)
	case by.UUID != "":
		return "partition with the PARTUUID " + by.UUID
	}
	return fmt.Sprintf("partition %d", by.Number)
}

// UUID is the partition's PARTUUID, as Linux writes it.
func UUID(t *volume.Table, p *volume.Partition) string {
	if t.Kind == table.KindDOS {
		return fmt.Sprintf("%s-%02x", strings.TrimPrefix(t.DiskID, "0x"), p.Number)
	}
	return p.UUID
}

// alone refuses a partition that shares a byte with another one or with the table.
func alone(t *volume.Table, p *volume.Partition, size int64, sectorSize int) error {
	if p.Start <= 0 || p.Size <= 0 || p.Start > size || p.Size > size-p.Start {
		return fmt.Errorf("partition %d (%d bytes from %d) does not lie on the disk of %d bytes", p.Number, p.Size,
			p.Start, size)
	}
	for i := range t.Partitions {
		q := &t.Partitions[i]
		if q.Number != p.Number && q.Start < p.End() && p.Start < q.End() {
			return fmt.Errorf("partitions %d and %d overlap", p.Number, q.Number)
		}
	}
	pieces, err := table.Layout(t, size, sectorSize)
	if err != nil {
		return err
	}
	for _, x := range pieces {
		if x.Offset < p.End() && p.Start < x.Offset+int64(len(x.Data)) {
			return fmt.Errorf("partition %d lies over the partition table at byte %d", p.Number, x.Offset)
		}
	}
	return nil
}
