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
	born             int64 // when its first packet came
	// What the sender itself has said: the number that its latest signed word has, when that came, and the pace in
	// packets a second.
	place   uint64
	placeAt int64
	pps     float64
	denied  bool // the sender has said that this is not its epoch
	// A wary channel counts only numbers that the sender has announced: top is its place.
	wary bool
}

// Bounds of what a number may jump beyond the sender's latest word.
const (
	jumpRoom   = wire.WindowLen // numbers, whatever the time
	jumpPace   = 16             // times the announced pace: it may have grown since
	trusted    = 10 * sec       // for which the sender's word holds
	unproven   = 2 * sec        // for which a channel is trusted before the sender's first word
	reordering = 1024           // numbers by which packets may have overtaken an ANNOUNCE
)

func (c *channel) proven() bool { return c.placeAt != 0 }

// ahead says that the sender cannot have reached that number yet.
func (c *channel) ahead(now int64, seq uint64) bool {
	switch {
	case !c.proven() || seq <= c.place:
		return false
	case c.wary:
		return seq-c.place >= wire.WindowLen/2
	}
	return float64(seq-c.place) > jumpRoom+jumpPace*c.pps*float64(now-c.placeAt)/1e9
}

// lively says whether packets of the channel show that the sender is there.
func (c *channel) lively(now int64) bool {
	if c.proven() {
		return now-c.placeAt < trusted
	}
	return now-c.born < unproven
}

// prove takes the sender's word that its place was seq when it sent this. It says whether numbers had come that it had
// not sent by then.
func (c *channel) prove(now int64, seq uint64) (misled bool) {
	misled = !c.wary && c.got > 0 && c.top > seq+reordering
	if misled {
		c.distrust(now, seq)
		return true
	}
	if c.wary && seq > c.place {
		c.settle(now, seq)
	}
	if seq >= c.place {
		c.place, c.placeAt = seq, now
	}
	return false
}

// distrust makes a channel wary and starts its counters anew at the sender's place.
func (c *channel) distrust(now int64, place uint64) {
	c.restart()
	c.wary = true
	c.window = wire.NewWindow(wire.WindowLen)
	c.place, c.placeAt = place, now
	c.begin(now, place)
}

// settle counts, in a wary channel, the numbers up to the sender's new place.
func (c *channel) settle(now int64, place uint64) {
	if c.got == 0 {
		c.begin(now, place)
		return
	}
	if now-c.midTime > windowHalf {
		c.rotate(now, false)
	}
	c.got += c.window.Count(c.place, place)
	c.top, c.topTime = place, now
}

// begin starts a generation of counters with a packet of that number.
func (c *channel) begin(now int64, seq uint64) {
	c.got, c.first, c.top, c.topTime = 1, seq, seq, now
	c.winFirst, c.winGot, c.winTime = seq, 0, now
	c.midFirst, c.midGot, c.midTime = seq, 0, now
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
	if c.wary {
		if c.got > 0 && seq >= c.first && seq <= c.place {
			c.got++ // late; others are counted when the sender announces them
		}
		return
	}
	if c.got == 0 {
		c.begin(now, seq)
		return
	}
	if now-c.midTime > windowHalf {
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
