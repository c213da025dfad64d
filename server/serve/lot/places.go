package lot

import (
	"container/list"
	"time"
)

// most is how many connections are served at once: each has buffers and a deep stack, and few processors serve no
// faster for being asked by more.
const most = 128

// For how long one that is served counts among those: who sends slowly, takes its answer slowly or follows for hours
// keeps nobody else out.
const (
	peersPatience = 100 * time.Millisecond // while the peer is waited for
	patience      = time.Second
)

// place is one that is counted.
type place struct {
	conn  *conn
	since time.Time
	at    *list.Element
}

// places are those that are taken. All is under the lot's lock.
type places struct {
	lot   *Lot
	taken list.List // of *place, oldest first
	alarm *time.Timer
	armed bool
}

func (p *places) init(l *Lot) {
	p.lot = l
	p.alarm = time.AfterFunc(time.Hour, p.late)
	p.alarm.Stop()
}

// take counts a connection, or says that there is no place yet.
func (p *places) take(c *conn) bool {
	if c.place != nil {
		return true
	}
	if p.taken.Len() >= most {
		p.arm()
		return false
	}
	c.place = &place{conn: c, since: time.Now()}
	c.place.at = p.taken.PushBack(c.place)
	return true
}

// arm has the oldest place given up when that is due, where somebody waits for one.
func (p *places) arm() {
	if first := p.taken.Front(); first != nil && !p.armed {
		p.armed = true
		p.alarm.Reset(max(peersPatience/10, peersPatience-time.Since(first.Value.(*place).since)))
	}
}

// leave gives a place back.
func (p *places) leave(c *conn) {
	if c.place == nil {
		return
	}
	p.taken.Remove(c.place.at)
	c.place = nil
	p.lot.next()
}

// late gives places up that were taken for long.
func (p *places) late() {
	p.lot.mu.Lock()
	defer p.lot.mu.Unlock()
	p.armed = false
	var after *list.Element
	for at := p.taken.Front(); at != nil; at = after {
		after = at.Next()
		old := at.Value.(*place)
		lasted := time.Since(old.since)
		if lasted < peersPatience {
			break
		}
		if lasted >= patience || old.conn.onPeer.Load() {
			p.taken.Remove(at)
			old.conn.place = nil
		}
	}
	p.lot.next()
}

// next has places taken that are free: answers that are due come before new requests. The caller holds the lock.
func (l *Lot) next() {
	for len(l.due) > 0 {
		c := l.due[0]
		if c.state == answered && !l.places.take(c) {
			return
		}
		l.due = l.due[1:]
		if c.state == answered {
			go c.try() // ends with the answer, or when that has to wait longer
		}
	}
	if len(l.ready) == 0 {
		return
	}
	if l.places.taken.Len() >= most {
		l.places.arm()
		return
	}
	select {
	case l.free <- struct{}{}:
	default:
	}
}
