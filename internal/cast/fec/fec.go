// Package fec makes and uses the parity packets of a cast: a systematic Reed-Solomon code over GF(2^8), K source packets and up
// to 127 parity packets a block. Any K of them give back the block.
package fec

import (
	"fmt"
	"sync"

	"github.com/klauspost/reedsolomon"
)

// MaxParity is the number of parity packets that a block has room for.
const MaxParity = 127

// Codec codes blocks of one K and payload. It may be used by several goroutines.
type Codec struct {
	k, payload int
	rs         reedsolomon.Encoder
	zero       []byte
	scratch    sync.Pool
}

type scratch struct {
	shards   [][]byte
	required []bool
}

// New makes a codec for blocks of k packets of payload bytes.
func New(k, payload int) (*Codec, error) {
	// One goroutine a call: blocks are small, and other blocks and casts have use for the other cores. The cache of inverted matrices
	// would grow without bound, since losses are random.
	rs, err := reedsolomon.New(k, MaxParity, reedsolomon.WithMaxGoroutines(1), reedsolomon.WithInversionCache(false))
	if err != nil {
		return nil, fmt.Errorf("cast: Reed-Solomon code for %d packets a block: %w", k, err)
	}
	c := &Codec{k: k, payload: payload, rs: rs, zero: make([]byte, payload)}
	c.scratch.New = func() any {
		return &scratch{make([][]byte, k+MaxParity), make([]bool, k+MaxParity)}
	}
	return c, nil
}

// Parity computes parity rows first, first+1, ... of a block into dst, whose slices are of payload bytes. data is the block, a whole number of
// packets; packets that it lacks to K count as zeroes.
func (c *Codec) Parity(data []byte, first int, dst [][]byte) error {
	s := c.scratch.Get().(*scratch)
	defer c.put(s)
	for i := range c.k {
		s.shards[i] = c.zero
		if end := (i + 1) * c.payload; end <= len(data) {
			s.shards[i] = data[i*c.payload : end]
		}
	}
	for i, d := range dst {
		s.shards[c.k+first+i] = d[:0]
		s.required[c.k+first+i] = true
	}
	if err := c.rs.(interface {
		ReconstructSome([][]byte, []bool) error
	}).ReconstructSome(s.shards, s.required); err != nil {
		return fmt.Errorf("cast: parity: %w", err)
	}
	return nil
}

// Packet is a parity packet of a block: its row, and its bytes.
type Packet struct {
	Row  int
	Data []byte
}

// Decode fills in the source packets of data that are not held. data is the block, a whole number of packets; held says which of
// them are there. There must be as many parity packets as are lacking.
func (c *Codec) Decode(data []byte, held func(i int) bool, parity []Packet) error {
	s := c.scratch.Get().(*scratch)
	defer c.put(s)
	for i := range c.k {
		start, end := i*c.payload, (i+1)*c.payload
		switch {
		case end > len(data):
			s.shards[i] = c.zero
		case held(i):
			s.shards[i] = data[start:end]
		default:
			s.shards[i] = data[start:start:end]
		}
	}
	for _, p := range parity {
		s.shards[c.k+p.Row] = p.Data
	}
	if err := c.rs.ReconstructData(s.shards); err != nil {
		return fmt.Errorf("cast: repairing a block: %w", err)
	}
	return nil
}

func (c *Codec) put(s *scratch) {
	clear(s.shards)
	clear(s.required)
	c.scratch.Put(s)
}
