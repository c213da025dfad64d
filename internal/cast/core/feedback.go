package core

import "math"

// feedback keeps reports below a number a second, whatever the size of the group. It measures how many come at the
// interval that was announced, which says how many receivers there are, known or not, and announces an interval that
// suits them.
type feedback struct {
	active, done int64 // intervals
	init0        int64
	since        int64
	lacking, had reports // of receivers that lack something, and that are done
	perSecond    float64
	most         float64 // receivers that there seemed to be lately
	shrank       bool    // the active interval is shorter than before
}

// reports are those of one kind.
type reports struct {
	n, fresh int     // since the latest update; of these, the first ones of their receiver
	excess   float64 // that came lately beyond the target
}

// Reports a second that are aimed at, of receivers that lack something and of those that are done.
const (
	activeTarget = 500
	doneTarget   = 300
	shortest     = 10 * ms
	hasty        = 2 * ms // instead, while the pace is being found by a few
	hastyTarget  = 1000   // and reports a second then
	firstGuess   = 400 * ms
	few          = 4
	crowd        = 32 // receivers known, from which on what is known counts more than what comes
	tooMany      = 48 // reports beyond the target that make an interval grow
)

func (f *feedback) init(expect int, now int64) {
	f.active = firstGuess
	if expect > 0 {
		f.active = max(hasty, int64(expect)*sec/hastyTarget)
	}
	f.init0, f.done = f.active, f.active
	f.since = now
}

// report counts one, and says whether there are so many that the interval must grow now.
func (f *feedback) report(now int64, done, fresh bool) bool {
	r := &f.lacking
	if done {
		r = &f.had
	}
	r.n++
	if fresh {
		r.fresh++
	}
	n := int64(f.lacking.n + f.had.n)
	return n >= tooMany/2 && n*sec > 2*(activeTarget+doneTarget)*(now-f.since) && now-f.since >= annFast
}

func (f *feedback) reportsPerSecond() float64 { return f.perSecond }

// update adapts the intervals to the reports since the last update, and says whether they changed much. In startup the
// rounds last as long as it takes to hear of them, and at four times the rate that was found each millisecond of them
// is four of the cast.
func (f *feedback) update(now int64, known, present, active int, startup bool) bool {
	t := now - f.since
	if t < annFast {
		return false
	}
	a, d := f.active, f.done
	f.perSecond = 0.5*f.perSecond + 0.5*float64(f.lacking.n+f.had.n)*float64(sec)/float64(t)
	// Of those that are not known yet a part counts: all of them would keep the others waiting for long, none of them
	// would let the interval shrink so far that too many report at once.
	least, target := int64(shortest), activeTarget
	if startup && active <= few {
		least, target = hasty, hastyTarget
	}
	f.active = f.lacking.adapt(f.active, least, t, target, active+max(int(f.most)-known, 0)/8)
	// Those that are here now will all be done at about the same time. How many they are is what their reports say, few
	// as they are while few receivers are known, and otherwise enough of them, at an interval that had not become
	// shorter: then reports come all together.
	f.most *= 1 - min(float64(t)/float64(20*sec), 1)
	if n := f.lacking.n; n >= 8 && (active < crowd || n >= crowd && !f.shrank) {
		f.most = max(f.most, float64(n)*float64(a)/float64(t))
	}
	f.done = f.had.adapt(f.done, shortest, t, doneTarget, max(present, int(f.most)))
	if present == 0 {
		f.active = max(f.active, f.init0)
	}
	f.shrank = f.active < a
	f.since, f.lacking.n, f.lacking.fresh, f.had.n, f.had.fresh = now, 0, 0, 0, 0
	return f.active < a*3/4 || f.active > a*3/2 || f.done < d*3/4 || f.done > d*3/2
}

// adapt returns the interval that would have brought the target number of reports a second in the time t, but least at
// least and never one at which the known receivers alone bring more.
//
// While few are known, growth is taken at once, since thousands may have come at the same moment. In a crowd that is
// known it takes reports of unknown ones to make the interval grow: receivers that a longer interval kept waiting
// report together when it shrinks, and growing for them would keep the others waiting in turn. For the same reason it
// shrinks towards what is needed so slowly that it brings about the target.
func (r *reports) adapt(interval, least, t int64, target, known int) int64 {
	least = max(least, int64(known)*sec/int64(target))
	want := int64(float64(r.n+1) * float64(interval) / float64(t) / float64(target) * 1e9)
	r.excess = max(0, r.excess+float64(r.n)-float64(target)*float64(t)/1e9)
	if want > interval {
		if r.excess < tooMany || known >= crowd && r.fresh < r.n/2 {
			return max(interval, least) // chance
		}
		r.excess = 0
		if known >= crowd {
			want = min(want, 2*interval)
		}
		return min(max(want, least), maxInterval)
	}
	if known >= crowd {
		return max(want, least, least+int64(float64(interval-least)*math.Exp(-float64(t)/float64(least))))
	}
	return max(want, interval/2, least)
}
