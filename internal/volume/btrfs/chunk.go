package btrfs

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/diskcast/diskcast/internal/volume"
)

const (
	typeChunk  = 228
	chunkHead  = 48
	stripeSize = 32
	maxChunks  = 1 << 20 // a chunk is a GiB or so

	// Profiles in a chunk's type.
	profileRAID0, profileRAID1, profileDUP, profileRAID10, profileRAID5, profileRAID6 = 0x08, 0x10, 0x20, 0x40, 0x80,
		0x100
	profileRAID1C3, profileRAID1C4 = 0x200, 0x400
	striped                        = profileRAID0 | profileRAID10 | profileRAID5 | profileRAID6
)

// chunk maps length bytes from a logical address to one or several places on the device.
type chunk struct {
	logical, length int64
	copies          []int64 // each holds all of it
	stripes         []int64 // or it is spread over these: then where a byte is does not matter, they are taken whole
	stripeLength    int64
}

// parseChunk reads a chunk item. Every stripe must be on this device.
func (fs *FS) parseChunk(logical int64, p []byte) (chunk, int, error) {
	if len(p) < chunkHead {
		return chunk{}, 0, errors.New("a chunk item is too short")
	}
	c := chunk{logical: logical, length: int64(le.Uint64(p))}
	kind, n := le.Uint64(p[24:]), int(le.Uint16(p[44:]))
	size := chunkHead + n*stripeSize
	if n == 0 || size > len(p) {
		return c, 0, fmt.Errorf("chunk %d has %d stripes", logical, n)
	}
	if logical < 0 || c.length <= 0 || c.length > fs.devBytes || logical+c.length < 0 {
		return c, 0, fmt.Errorf("chunk %d has %d bytes", logical, c.length)
	}
	var at []int64
	for i := range n {
		stripe := p[chunkHead+i*stripeSize:]
		if id := le.Uint64(stripe); id != fs.devid {
			return c, 0, fmt.Errorf("chunk %d lies on device %d, and this is device %d", logical, id, fs.devid)
		}
		at = append(at, int64(le.Uint64(stripe[8:])))
	}
	c.stripeLength = c.length
	if kind&striped != 0 && n > 1 {
		// Data stripes: all, half of them with RAID10, all but one or two with RAID5 and 6. Rounded up, to be safe.
		data := n
		switch {
		case kind&profileRAID10 != 0:
			data = n / max(1, int(le.Uint16(p[46:])))
		case kind&profileRAID5 != 0:
			data = n - 1
		case kind&profileRAID6 != 0:
			data = n - 2
		}
		if data < 1 {
			return c, 0, fmt.Errorf("chunk %d has no data stripes", logical)
		}
		c.stripes, c.stripeLength = at, (c.length+int64(data)-1)/int64(data)
	} else {
		c.copies = at
	}
	for _, off := range at {
		if off < 0 || off > fs.devBytes || c.stripeLength > fs.devBytes-off {
			return c, 0, fmt.Errorf("chunk %d is outside the device", logical)
		}
	}
	return c, size, nil
}

// readChunks reads the chunks of the superblock, by which the chunk tree is found, and then that.
func (fs *FS) readChunks() error {
	fs.chunks = nil
	for p := fs.sysArray; len(p) > 0; {
		if len(p) < 17 || p[8] != typeChunk {
			return errors.New("the superblock's chunk array is malformed")
		}
		c, n, err := fs.parseChunk(int64(le.Uint64(p[9:])), p[17:])
		if err != nil {
			return err
		}
		fs.chunks = append(fs.chunks, c)
		p = p[17+n:]
	}
	if err := fs.sortChunks(); err != nil {
		return err
	}
	var all []chunk
	err := fs.walk(fs.chunkRoot, nil, func(k key, item []byte) error {
		if k.kind != typeChunk {
			return nil
		}
		if len(all) >= maxChunks {
			return fmt.Errorf("more than %d chunks", maxChunks)
		}
		c, _, err := fs.parseChunk(int64(k.offset), item)
		all = append(all, c)
		return err
	})
	if err != nil {
		return err
	}
	fs.chunks = all
	return fs.sortChunks()
}

func (fs *FS) sortChunks() error {
	slices.SortFunc(fs.chunks, func(a, b chunk) int { return cmp.Compare(a.logical, b.logical) })
	for i := 1; i < len(fs.chunks); i++ {
		if before := fs.chunks[i-1]; before.logical+before.length > fs.chunks[i].logical {
			return fmt.Errorf("chunks %d and %d overlap", before.logical, fs.chunks[i].logical)
		}
	}
	return nil
}

// find returns the chunk that holds n bytes from a logical address.
func (fs *FS) find(logical, n int64) (*chunk, error) {
	i, exact := slices.BinarySearchFunc(fs.chunks, logical,
		func(c chunk, at int64) int { return cmp.Compare(c.logical, at) })
	if !exact {
		i--
	}
	if i < 0 || n < 0 || logical-fs.chunks[i].logical > fs.chunks[i].length-n {
		return nil, fmt.Errorf("logical address %d+%d is in no chunk", logical, n)
	}
	return &fs.chunks[i], nil
}

// add counts n bytes from a logical address as used, in all their copies.
func (fs *FS) add(runs *volume.Runs, logical, n int64) error {
	c, err := fs.find(logical, n)
	if err != nil {
		return err
	}
	for _, at := range c.copies {
		runs.Add(at+logical-c.logical, n)
	}
	for _, at := range c.stripes {
		runs.Add(at, c.stripeLength)
	}
	return nil
}
