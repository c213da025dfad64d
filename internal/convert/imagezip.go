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

// readImagezip reads Frisbee's .ndz of versions 1 to 4: chunks of 1 MiB, each with a header, its regions and relocations in the first
// bytes, a zlib stream behind them, and padding. Relocations correct sector numbers when a partition is put elsewhere on a disk;
// the image is unpacked to where it came from, so there is nothing to correct.
func readImagezip(r io.Reader, d sink) error {
	if err := d.setSize(d.limit()); err != nil {
		return err
	}
	chunk := make([]byte, ndzChunk)
	end, relocations, chunks := int64(0), false, 0
	for ; ; chunks++ {
		_, err := io.ReadFull(r, chunk)
		if err == io.EOF && chunks > 0 {
			break
		}
		if err != nil {
			return fmt.Errorf("imagezip chunk %d: %w", chunks, short(err))
		}
		last, relocated, err := ndz(chunk, d)
		if err != nil {
			return fmt.Errorf("imagezip chunk %d: %w", chunks, err)
		}
		end, relocations = max(end, last), relocations || relocated
	}
	if err := d.setSize(end); err != nil {
		return err
	}
	if end == 0 {
		return errors.New("imagezip: it holds nothing")
	}
	d.note("imagezip keeps no disk size: the disk ends where the image's last chunk ends.")
	if relocations {
		d.note("The image has relocations for other places on a disk; it was unpacked to its own place.")
	}
	return nil
}

// ndz unpacks one chunk, and returns where on the disk it ends.
func ndz(chunk []byte, d sink) (end int64, relocations bool, err error) {
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
			return 0, false, fmt.Errorf("%w: it is encrypted (cipher %d); unpack it with imageunzip and its key", ErrFormat, cipher)
		}
	default:
		return 0, false, fmt.Errorf("%w: magic number %#x", ErrFormat, le.Uint32(chunk))
	}
	if regionSize < head || regionSize > ndzChunk || size > ndzChunk-regionSize || regions > maxRegions || head+8*regions > regionSize {
		return 0, false, fmt.Errorf("%d regions, %d bytes behind %d", regions, size, regionSize)
	}
	if version > 1 {
		end = int64(le.Uint32(chunk[28:])) * ndzSector
		relocations = le.Uint32(chunk[32:]) > 0
	}
	z, err := zlib.NewReader(bytes.NewReader(chunk[regionSize : regionSize+size]))
	if err != nil {
		return 0, false, err
	}
	defer z.Close()
	buf := make([]byte, 1<<20)
	for i := range regions {
		at := int64(le.Uint32(chunk[head+8*i:])) * ndzSector
		for left := int64(le.Uint32(chunk[head+8*i+4:])) * ndzSector; left > 0; {
			p := buf[:min(left, int64(len(buf)))]
			if _, err := io.ReadFull(z, p); err != nil {
				return 0, false, fmt.Errorf("region %d: %w", i, short(err))
			}
			if err := d.write(p, at); err != nil {
				return 0, false, err
			}
			at, left = at+int64(len(p)), left-int64(len(p))
		}
		end = max(end, at)
	}
	if n, err := z.Read(buf[:1]); n > 0 || err != io.EOF {
		return 0, false, errors.New("there is more data than its regions say, or its checksum is wrong")
	}
	return end, relocations, nil
}
