package core

import "github.com/diskcast/diskcast/internal/cast/wire"

// channel is what one receiver has seen of one origin.
type channel struct {
	origin  uint64
	window  *wire.Window
	first   uint64 // sequence number that the generation began with
	top     uint64
	topTime int64
	got     uint64 // packets of this generation
	gen     uint8
	// The window of the latest packets: from the previous report, or from 100 to 200 ms ago if that is later. It
	// is what rate control goes by, so it must be short also where reports are far apart.
	winFirst, winGot uint64
	winTime          int64
	midFirst, midGot uint64
	midTime          int64
}

const windowHalf = 100 * ms

// rotate moves the window's start to the middle mark, or to now when a report was made.
func (c *channel) rotate(now int64, report bool) {
	if report {
		c.winFirst, c.winGot, c.winTime = c.top+1, c.got, c.topTime
	} else {
		c.winFirst, c.winGot, c.winTime = c.midFirst, c.midGot, c.midTime
	}
	c.midFirst, c.midGot, c.midTime = c.top+1, c.got, c.topTime
}

func (c *channel) fresh(seq uint64) bool { return c.window.Fresh(seq) }

func (c *channel) mark(now int64, seq uint64) {
	c.window.Mark(seq)
	if c.got == 0 {
		c.first, c.top, c.topTime = seq, seq, now
		c.winFirst, c.winGot, c.winTime = seq, 0, now
		c.midFirst, c.midGot, c.midTime = seq, 0, now
	} else if now-c.midTime > windowHalf {
		c.rotate(now, false)
	}
	if seq >= c.first {
		c.got++
	}
	if seq >= c.top {
		c.top, c.topTime = seq, now
	}
}

func (c *channel) lost() uint64 {
	if c.got == 0 {
		return 0
	}
	if n := c.top - c.first + 1; n > c.got {
		return n - c.got
	}
	return 0
}

// restart begins a new generation of counters.
func (c *channel) restart() { c.gen, c.got = c.gen+1, 0 }
