package core

import "github.com/diskcast/diskcast/internal/cast/wire"

// A receiver that loses nothing waits for the repairs of those that do, unless they come after all that it needs
// itself. So repairs wait until nothing whole is left to send, where those that lack them say that waiting costs them
// nothing.

// mostLater bounds the bytes of blocks whose repairs wait. To repair them both ends read them a second time, which
// should not take a disk.
const mostLater = 1 << 30

// postpone has the repair of block b wait, if there is room for that.
func (s *Sender) postpone(b int) {
	if s.repair.has(b) && s.nFresh > 0 && int64(s.nLater)*s.p.BlockSize() < mostLater {
		s.repair.clear(b)
		s.nFix--
		s.later.set(b)
		s.nLater++
	}
}

// hasten has it wait no longer.
func (s *Sender) hasten(b int) {
	if s.later.has(b) {
		s.later.clear(b)
		s.nLater--
		s.repair.set(b)
		s.nFix++
	}
}

// prompt is the interval of reports up to which news of what is lacking comes soon enough for a repair, and another, at
// the end of a cast.
const prompt = 20 * ms

// lossy is the loss from which on a receiver costs others time. What is lost to congestion, and does not count here,
// all lose.
const lossy = 0.002

// patient says that peer p can wait for its repairs, and that this helps others.
func (s *Sender) patient(p *Peer) bool {
	return p.flags&wire.RepPatient != 0 && p.baseline > lossy && s.fb.active <= prompt && s.clean
}
