package lot

import (
	"crypto/tls"
	"sync/atomic"
	"syscall"
	"time"
)

// state is where a connection is.
type state int

const (
	served   state = iota // by net/http, or just accepted
	silent                // watched until something comes
	ready                 // something has come
	waiting               // for its answer, and watched until the peer goes
	answered              // its answer is being made, or looked for
	closed
)

// conn is a connection from its beginning to its end.
type conn struct {
	lot *Lot
	id  uint64
	tls *tls.Conn
	raw syscall.RawConn

	onPeer atomic.Bool // what is done waits for the peer to send or to take

	// Under the lot's lock.
	state state
	known bool // to the watch
	place *place
	timer *time.Timer
	until time.Time // when the timer means something
	wait  *wait     // nil: there is no answer to come
}

// after has expire called in so long. The caller holds the lot's lock.
func (c *conn) after(d time.Duration) {
	c.until = time.Now().Add(d)
	if c.timer == nil {
		c.timer = time.AfterFunc(d, c.expire)
		return
	}
	c.timer.Reset(d)
}

// expire ends what has lasted too long.
func (c *conn) expire() {
	c.lot.mu.Lock()
	late := !time.Now().Before(c.until)
	if late && c.wait != nil {
		c.over(errLate)
	}
	late = late && c.state == silent
	c.lot.mu.Unlock()
	if late {
		c.shut()
	}
}

// park watches a connection until something comes, at most so long.
func (c *conn) park(d time.Duration) {
	trim(c.tls)
	err := c.tls.SetDeadline(time.Time{})
	l := c.lot
	l.mu.Lock()
	l.places.leave(c)
	if err == nil && !l.over {
		c.state = silent // before it is watched: at once something may come
		c.after(d)
		err = l.watch.on(c, incoming)
	}
	bad := err != nil || l.over
	l.mu.Unlock()
	if bad {
		c.shut()
	}
}

// write writes to the peer.
func (c *conn) write(p []byte) (int, error) {
	c.onPeer.Store(true)
	defer c.onPeer.Store(false)
	return c.tls.Write(p)
}

// shut closes a connection.
func (c *conn) shut() {
	l := c.lot
	l.mu.Lock()
	if c.state == closed {
		l.mu.Unlock()
		return
	}
	c.state = closed
	if c.timer != nil {
		c.timer.Stop()
	}
	delete(l.conns, c.id)
	l.places.leave(c)
	if l.over && len(l.conns) == 0 {
		close(l.none)
	}
	l.mu.Unlock()
	_ = c.tls.Close() // a peer who has gone is not told so
}
