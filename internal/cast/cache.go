package cast

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

// sourceCache reads blocks of the object, ahead of their use where it is told what comes next. Blocks that were sent
// lately stay for a while, since repairs are made of them.
type sourceCache struct {
	p       Params
	src     Source
	onError func(Range, error)

	mu    sync.Mutex
	slots map[uint32]*slot
	order []*slot // oldest first
	used  *slot   // given out last: it must stay
	ahead chan uint32
}

type slot struct {
	n     uint32
	data  []byte
	err   error
	ready chan struct{}
}

const (
	cacheBlocks = 24
	aheadBlocks = 8
)

func newSourceCache(p Params, src Source, onError func(Range, error)) *sourceCache {
	return &sourceCache{p: p, src: src, onError: onError, slots: map[uint32]*slot{},
		ahead: make(chan uint32, aheadBlocks)}
}

// block returns block n; the bytes stay valid until the next call.
func (c *sourceCache) block(n uint32) ([]byte, error) {
	if c.used != nil && c.used.n == n {
		return c.used.data, c.used.err
	}
	s, read := c.take(n, true)
	if read {
		c.read(s)
	}
	<-s.ready
	return s.data, s.err
}

// take returns the slot of block n, and whether the caller must read it.
func (c *sourceCache) take(n uint32, use bool) (s *slot, read bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s = c.slots[n]
	if s == nil {
		s = &slot{n: n, ready: make(chan struct{}), data: c.buffer()}
		c.slots[n] = s
		c.order = append(c.order, s)
		read = true
	}
	if use {
		c.used = s
	}
	return s, read
}

func (c *sourceCache) buffer() []byte {
	if len(c.order) < cacheBlocks {
		return make([]byte, c.p.BlockSize())
	}
	for i, s := range c.order {
		if s == c.used {
			continue
		}
		select {
		case <-s.ready:
		default:
			continue // being read
		}
		c.order = append(c.order[:i], c.order[i+1:]...)
		delete(c.slots, s.n)
		return s.data[:cap(s.data)]
	}
	return make([]byte, c.p.BlockSize())
}

func (c *sourceCache) read(s *slot) {
	defer close(s.ready)
	off := int64(s.n) * c.p.BlockSize()
	n := int(c.p.BlockLen(int(s.n)))
	s.data = s.data[:c.p.SourcePackets(int(s.n))*c.p.Payload]
	got, err := c.src.ReadAt(s.data[:n], off)
	clear(s.data[n:])
	if got == n {
		return
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	s.err = fmt.Errorf("cast: reading the source at byte %d: %w", off+int64(got), err)
	if c.onError != nil {
		c.onError(Range{Offset: off, Length: int64(n)}, s.err)
	}
}

// prefetch asks for block n to be read when there is time.
func (c *sourceCache) prefetch(n uint32) {
	select {
	case c.ahead <- n:
	default:
	}
}

// run reads ahead until stop is closed.
func (c *sourceCache) run(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case n := <-c.ahead:
			if s, read := c.take(n, false); read {
				c.read(s)
			}
		}
	}
}
