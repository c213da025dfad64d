package core

// lineRate is the most that reached a peer lately: the rate of the narrowest line on its way, once a queue stands before it. A sample is the
// smaller of the rate at which packets were sent and that at which they came, over a time so long that neither end's naps matter.
type lineRate struct {
	win  window     // sample under way
	most [2]float64 // of the times of lineTime before from and since
	from int64
}

const (
	lineSample = 80 * ms
	lineTime   = 2 * sec
)

// note adds what a report told.
func (l *lineRate) note(now int64, w window, c *rateControl) {
	if l.win.first == 0 || l.win.top+1 != w.first {
		l.win = w
	} else {
		l.win.top, l.win.got, l.win.span = w.top, l.win.got+w.got, l.win.span+w.span
	}
	if int64(l.win.span)*1000 < lineSample {
		return
	}
	whole := l.win
	l.win = window{}
	share := float64(whole.got) / float64(whole.top-whole.first+1)
	rate := min(c.rateOf(whole)*share, float64(whole.got)*c.bits/float64(whole.span)*1e6)
	if now-l.from > lineTime {
		l.most[0], l.most[1], l.from = l.most[1], 0, now
	}
	l.most[1] = max(l.most[1], rate)
}

// rate is the estimate in bits a second on the wire, 0 when there is none.
func (l *lineRate) rate() float64 { return max(l.most[0], l.most[1]) }
