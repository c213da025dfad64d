package sim

// tcpFlow is a bulk TCP flow after Reno: enough of one to see whether a cast lets it live. It sends segments of 1500
// bytes through the uplink, is acknowledged a round trip later, and halves, or rather takes 0.7 of, its window once a
// round trip that lost something, as CUBIC does.
type tcpFlow struct {
	cwnd, thresh float64
	flying       []tcpSegment
	recoverUntil int64
	bits         float64
}

type tcpSegment struct {
	ack  int64
	lost bool
	sent int64
}

func newTCP(r *run) *tcpFlow { return &tcpFlow{cwnd: 10, thresh: 1e9} }

const segmentBits = 1538 * 8

func (f *tcpFlow) step(r *run) {
	for {
		rest := f.flying[:0]
		for _, s := range f.flying {
			if s.ack > r.now {
				rest = append(rest, s)
				continue
			}
			if s.lost {
				if s.sent > f.recoverUntil {
					f.cwnd = max(0.7*f.cwnd, 2)
					f.thresh = f.cwnd
					f.recoverUntil = r.now
				}
				continue
			}
			f.bits += segmentBits
			if f.cwnd < f.thresh {
				f.cwnd++
			} else {
				f.cwnd += 1 / f.cwnd
			}
		}
		f.flying = rest
		if float64(len(f.flying)) >= f.cwnd {
			return
		}
		// Spread over the tick, so that it is no burst.
		n := int(f.cwnd) - len(f.flying)
		for i := range min(n, 64) {
			t := r.now - r.tick + r.tick*int64(i)/int64(min(n, 64))
			at, ok := r.up.pass(t, segmentBits)
			s := tcpSegment{sent: t}
			if ok {
				s.ack = at + 100*Microsecond
			} else {
				s.lost = true
				s.ack = t + int64(r.up.backlog/max(r.up.link.Rate, 1)*1e9) + 200*Microsecond
			}
			f.flying = append(f.flying, s)
		}
		if n <= 64 {
			return
		}
	}
}
