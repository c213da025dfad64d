package metrics

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
)

var (
	info     = gauge("build_info", "Always 1; the version is a label.", "version")
	machines = gauge("machines", "Machines that are known, approved or not.")
	strange  = gauge("machines_unapproved", "Machines that sessions may not take, for nobody approved them.")
	nodes    = gauge("nodes", "Machines by where they were seen last.", "where")
	sessions = gauge("sessions", "Sessions that are not over, by kind and state.", "kind", "state")
	parts    = gauge("parts", "Parts of sessions that are not over, by kind, state and the step last reached.",
		"kind", "state", "step")
	ended      = counter("sessions_ended_total", "Sessions that ended, by kind and how.", "kind", "state")
	endedParts = counter("parts_ended_total", "Parts of sessions that ended, by kind and how.", "kind", "state")
	took       = histogramOf("session_seconds", "Seconds from start to end of sessions that were done.", "kind")
	stepTook   = histogramOf("step_seconds", "Seconds that a step of a machine's part took, from the step before.",
		"kind", "step")
	unsaved = gauge("state_unwritable_seconds", "For how long the state could not be written; 0 when it can.")

	casts      = gauge("casts", "Casts that run.")
	stragglers = gauge("cast_stragglers", "Receivers that casts which run have left to HTTP.")
	castRate   = gauge("cast_rate_bytes", "Bytes a second that rate control allows the casts that run, in all.")
	castSent   = counter("cast_sent_bytes_total", "Bytes of images sent to groups, repair included.")
	castRepair = counter("cast_repair_bytes_total", "Bytes of images sent to groups again, or as parity.")
	castWire   = counter("cast_wire_bytes_total", "Bytes that casts put on the wire, all framing included.")
	castReject = counter("cast_rejected_packets_total", "Packets that casts dropped as forged, replayed or foreign.")
	received   = counter("received_bytes_total", "Bytes of images that machines received, by way.", "way")
	written    = counter("written_bytes_total", "Bytes that machines wrote to their disks.")
	captured   = counter("captured_bytes_total", "Bytes that machines sent of their disks.")

	addresses = gauge("dhcp_addresses", "Addresses that this server's DHCP has to give, by what is with them.", "state")
	others    = gauge("dhcp_other_servers", "DHCP servers that were heard besides this one.")
	storeFree = gauge("store_free_bytes", "Bytes free where the images are.")
	storeSize = gauge("store_size_bytes", "Size of the file system where the images are.")
	words     = gauge("notify_waiting", "Words that wait to be told to a receiver.", "receiver")
	loss      = gauge("receive_loss_ratio",
		"Share of a cast's packets that machines lost so far, the mean of those that receive.")
	switched = counter("power_requests_total", "What was asked of machines' power, by how it ended.", "result")
	unstored = gauge("audit_waiting", "Entries of the record of changes that the state did not take yet.")
	unrecord = counter("audit_lost_total",
		"Entries of the record of changes that are lost: it says how many, not which.")
	jobs = gauge("jobs", "Long work on images that is not over, by kind.", "kind")

	requestTook = histogramOf("http_request_seconds",
		"Time that requests of the API took, by route; of those that wait for news, how long they waited.", "route")
	refused = counter("http_refused_total", "Requests of the API that were refused, by route and status.",
		"route", "code")
)

// collect brings the counters up to date and returns all figures. Some are there only with DHCP, or with a store.
func (s *Server) collect() (*exposition, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.src.Figures(func(id string) bool { return !s.account.closed(id) })
	s.account.add(f)
	e := newExposition()
	g := gauges{e}
	g.set(info, 1, s.src.Version)
	g.engine(&f)
	s.account.tell(e)
	for route, h := range s.requests {
		e.observed(requestTook, h, route)
	}
	for k, n := range s.refused {
		e.set(refused, float64(n), k[0], k[1])
	}
	if s.src.DHCP != nil {
		g.dhcp(s.src.DHCP())
	}
	if s.src.Room != nil {
		free, size, err := s.src.Room()
		if err != nil {
			return nil, fmt.Errorf("room of the image store: %w", err)
		}
		g.set(storeFree, float64(free))
		g.set(storeSize, float64(size))
	}
	if s.src.Words != nil {
		for _, r := range s.src.Words() {
			g.set(words, float64(r.Waiting), r.Name)
		}
	}
	if s.src.Power != nil {
		done, failed := s.src.Power()
		e.set(switched, float64(done), "done")
		e.set(switched, float64(failed), "failed")
	}
	if s.src.Record != nil {
		waiting, lost := s.src.Record()
		g.set(unstored, float64(waiting))
		e.set(unrecord, float64(lost))
	}
	if s.src.Jobs != nil {
		going := map[string]int{}
		for _, j := range s.src.Jobs() {
			if !j.Over() {
				going[j.Spec.Kind]++
			}
		}
		for kind, n := range going {
			g.set(jobs, float64(n), kind)
		}
	}
	return e, process(e)
}

// gauges tells figures that are as they are now.
type gauges struct{ *exposition }

func (g gauges) engine(f *engine.Figures) {
	g.set(machines, float64(f.Machines))
	g.set(strange, float64(f.Waiting))
	for _, where := range []string{doc.Booting, doc.Ready, doc.Left, doc.Silent} {
		g.set(nodes, float64(f.Nodes[where]), where)
	}
	g.set(unsaved, f.Unsaved.Seconds())
	going, working := map[[2]string]int{}, map[[3]string]int{}
	var running, slow, receive int
	var rate, lost float64
	for i := range f.Sessions {
		s := &f.Sessions[i]
		if s.Casting {
			running, slow, rate = running+1, slow+s.Stragglers, rate+s.Cast.Rate
		}
		if doc.Over(s.State) {
			continue
		}
		going[[2]string{s.Kind, s.State}]++
		for j := range s.Parts {
			p := &s.Parts[j]
			working[[3]string{s.Kind, p.State, stepLabel(p.Step)}]++
			if p.State == doc.Running && p.Progress.Multicast > 0 {
				receive, lost = receive+1, lost+p.Progress.Loss
			}
		}
	}
	for k, n := range going {
		g.set(sessions, float64(n), k[0], k[1])
	}
	for k, n := range working {
		g.set(parts, float64(n), k[0], k[1], k[2])
	}
	g.set(loss, lost/float64(max(receive, 1)))
	g.set(casts, float64(running))
	g.set(stragglers, float64(slow))
	g.set(castRate, rate/8)
}

// stepLabel is a step as a label. Nodes may tell of any: what the protocol does not have is one label, or there would
// be a series for each word of each node. Of several disks the step counts, not which disk it is.
func stepLabel(step string) string {
	if disk, of, several := strings.Cut(step, "/"); several {
		if _, err := strconv.ParseUint(disk, 10, 8); err == nil {
			step = of
		}
	}
	if step == "" || session.Known(step) || slices.Contains(doc.TimelineSteps, step) {
		return step
	}
	return "other"
}

func (g gauges) dhcp(d doc.DHCP) {
	states := map[string]int{doc.LeaseOffered: 0, doc.LeaseHeld: 0, doc.LeaseOver: 0, doc.LeaseConflict: 0}
	for i := range d.Leases {
		states[d.Leases[i].State]++
	}
	states["free"] = d.Free
	for state, n := range states {
		g.set(addresses, float64(n), state)
	}
	g.set(others, float64(len(d.Others)))
}

// tell tells the counters and histograms.
func (a *account) tell(e *exposition) {
	for k, n := range a.sessions {
		e.set(ended, float64(n), k[0], k[1])
	}
	for k, n := range a.parts {
		e.set(endedParts, float64(n), k[0], k[1])
	}
	e.set(castSent, a.cast.sent)
	e.set(castRepair, a.cast.repair)
	e.set(castWire, a.cast.wire)
	e.set(castReject, a.cast.rejected)
	e.set(received, a.received.multicast, "multicast")
	e.set(received, a.received.unicast, "unicast")
	e.set(written, a.received.written)
	e.set(captured, a.received.captured)
	for kind, h := range a.session {
		e.observed(took, h, kind)
	}
	for k, h := range a.steps {
		e.observed(stepTook, h, k[0], k[1])
	}
}
