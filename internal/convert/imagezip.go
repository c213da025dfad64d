package convert

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
)

const (
	ndzChunk   = 1 << 20
	ndzMagic   = 0x69696969
	ndzSector  = 512
	maxRegions = ndzChunk / 8
)

// Kinds of relocations. Those of BSD labels are for a slice that is put at another place; LILO's are made relative to
// the slice, and its map's checksum is to be made anew when they are put right.
const (
	relocFreeBSD = 1
	relocOpenBSD = 2
	relocShort   = 6 // the last sector is padded
)

// ndzReader is an imagezip file being read.
type ndzReader struct {
	d      sink
	chunks int64
	end    int64 // bytes of the disk that the chunks so far describe
	at     int64 // where the last region ended
	sizes  bool  // the chunks say what they describe, free space included
	slices bool  // a slice's image, with a BSD label
}

// readImagezip reads Frisbee's .ndz of versions 1 to 4: chunks of 1 MiB, each with a header, its regions and
// relocations in the first bytes, a zlib stream behind them, and padding. The chunks are numbered, and their regions
// are in the order of the disk.
func readImagezip(r io.Reader, d sink) error {
	limit := d.limit()
	if err := d.setSize(limit); err != nil {
		return err
	}
	n := ndzReader{d: d}
	chunk := make([]byte, ndzChunk)
	total := int64(0)
	for ; ; n.chunks++ {
		_, err := io.ReadFull(r, chunk)
		if err == io.EOF && n.chunks > 0 {
			break
		}
		if err != nil {
			return fmt.Errorf("imagezip chunk %d: %w", n.chunks, short(err))
		}
		if err := n.chunk(chunk); err != nil {
			return fmt.Errorf("imagezip chunk %d: %w", n.chunks, err)
		}
		if total == 0 && le.Uint32(chunk) == ndzMagic { // later versions do not keep it
			total = int64(le.Uint32(chunk[12:]))
		}
	}
	if total > 0 && total != n.chunks {
		return fmt.Errorf("imagezip: it has %d chunks of %d: the file was cut", n.chunks, total)
	}
	if n.end == 0 {
		return errors.New("imagezip: it holds nothing")
	}
	// What its own partition table names must be in it; of version 1, whose chunks do not describe free space, the last
	// is made up for.
	if want := tableEnd(d, limit); want > n.end {
		if n.sizes {
			return fmt.Errorf("imagezip: its partition table goes up to byte %d, and its last chunk to %d: chunks "+
				"are missing at its end", want, n.end)
		}
		n.end = want
	}
	if err := d.setSize(n.end); err != nil {
		return err
	}
	d.note(fmt.Sprintf("imagezip keeps no disk size: the disk was made to end at byte %d, where the last chunk or "+
		"partition does.", n.end))
	if n.slices {
		d.note("It is the image of a slice with a BSD label; the label's addresses count from the slice's beginning.")
	}
	return nil
}

// chunk unpacks one chunk.
func (n *ndzReader) chunk(chunk []byte) error {
	version := int(le.Uint32(chunk)) - ndzMagic + 1
	size, regionSize, regions := int64(le.Uint32(chunk[4:])), int64(le.Uint32(chunk[16:])), int64(le.Uint32(chunk[20:]))
	head := int64(36)
	switch version {
	case 1:
		head = 24
	case 2, 3:
	case 4:
		head = 344
		if cipher := le.Uint16(chunk[36:]); cipher != 0 {
			return fmt.Errorf("%w: it is encrypted (cipher %d); unpack it with imageunzip and its key", ErrFormat,
				cipher)
		}
	default:
		return fmt.Errorf("%w: magic number %#x", ErrFormat, le.Uint32(chunk))
	}
	if index := int64(le.Uint32(chunk[8:])); index != n.chunks {
		return fmt.Errorf("it says that it is chunk %d: chunks are missing, or not in order", index)
	}
	relocs := int64(0)
	if version > 1 {
		n.sizes = true
		n.end = max(n.end, int64(le.Uint32(chunk[28:]))*ndzSector)
		relocs = int64(le.Uint32(chunk[32:]))
	}
	if regionSize < head || regionSize > ndzChunk || size > ndzChunk-regionSize || regions > maxRegions ||
		relocs > maxRegions || head+8*regions+16*relocs > regionSize {
		return fmt.Errorf("%d regions, %d relocations, %d bytes behind %d", regions, relocs, size, regionSize)
	}
	if err := n.relocations(chunk[head+8*regions:], relocs); err != nil {
		return err
	}
	z, err := zlib.NewReader(bytes.NewReader(chunk[regionSize : regionSize+size]))
	if err != nil {
		return err
	}
	defer z.Close()
	buf := make([]byte, 1<<20)
	for i := range regions {
		at := int64(le.Uint32(chunk[head+8*i:])) * ndzSector
		if at < n.at {
			return fmt.Errorf("region %d begins at byte %d, before the end of the one before it at %d", i, at, n.at)
		}
		for left := int64(le.Uint32(chunk[head+8*i+4:])) * ndzSector; left > 0; {
			p := buf[:min(left, int64(len(buf)))]
			if _, err := io.ReadFull(z, p); err != nil {
				return fmt.Errorf("region %d: %w", i, short(err))
			}
			if err := n.d.write(p, at); err != nil {
				return err
			}
			at, left = at+int64(len(p)), left-int64(len(p))
		}
		n.at = at
		n.end = max(n.end, at)
	}
	if k, err := z.Read(buf[:1]); k > 0 || err != io.EOF {
		return errors.New("there is more data than its regions say, or its checksum is wrong")
	}
	return nil
}

// relocations looks at what is to be put right in the data, by type (u32), sector, offset and size. As imageunzip does
// without a slice to put the image into, those of BSD labels are left alone; what it would change is refused.
func (n *ndzReader) relocations(list []byte, count int64) error {
	for i := range count {
		switch kind := le.Uint32(list[16*i:]); kind {
		case 0, relocShort:
		case relocFreeBSD, relocOpenBSD:
			n.slices = true
		default:
			return fmt.Errorf("%w: it is the image of a slice that LILO boots, or of another kind with relocations "+
				"(type %d); "+
				"load it into its slice with `imageunzip -s SLICE IN DISK`, and capture that disk", ErrFormat, kind)
		}
	}
	return nil
}
