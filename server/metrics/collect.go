package metrics

import (
	"maps"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("diskcast_"+name, help, labels, nil)
}

var (
	info     = desc("build_info", "Always 1; the version is a label.", "version")
	machines = desc("machines", "Machines that are known, approved or not.")
	strange  = desc("machines_unapproved", "Machines that sessions may not take, for nobody approved them.")
	nodes    = desc("nodes", "Machines by where they were seen last.", "where")
	sessions = desc("sessions", "Sessions that are not over, by kind and state.", "kind", "state")
	parts    = desc("parts", "Parts of sessions that are not over, by kind, state and the step last reached.",
		"kind", "state", "step")
	ended      = desc("sessions_ended_total", "Sessions that ended, by kind and how.", "kind", "state")
	endedParts = desc("parts_ended_total", "Parts of sessions that ended, by kind and how.", "kind", "state")
	took       = desc("session_seconds", "Seconds from start to end of sessions that were done.", "kind")
	stepTook   = desc("step_seconds", "Seconds that a step of a machine's part took, from the step before.",
		"kind", "step")
	unsaved = desc("state_unwritable_seconds", "For how long the state could not be written; 0 when it can.")

	casts      = desc("casts", "Casts that run.")
	stragglers = desc("cast_stragglers", "Receivers that casts which run have left to HTTP.")
	castRate   = desc("cast_rate_bytes", "Bytes a second that rate control allows the casts that run, in all.")
	castSent   = desc("cast_sent_bytes_total", "Bytes of images sent to groups, repair included.")
	castRepair = desc("cast_repair_bytes_total", "Bytes of images sent to groups again, or as parity.")
	castWire   = desc("cast_wire_bytes_total", "Bytes that casts put on the wire, all framing included.")
	castReject = desc("cast_rejected_packets_total", "Packets that casts dropped as forged, replayed or foreign.")
	received   = desc("received_bytes_total", "Bytes of images that machines received, by way.", "way")
	written    = desc("written_bytes_total", "Bytes that machines wrote to their disks.")
	captured   = desc("captured_bytes_total", "Bytes that machines sent of their disks.")

	addresses = desc("dhcp_addresses", "Addresses that this server's DHCP has to give, by what is with them.", "state")
	others    = desc("dhcp_other_servers", "DHCP servers that were heard besides this one.")
	storeFree = desc("store_free_bytes", "Bytes free where the images are.")
	storeSize = desc("store_size_bytes", "Size of the file system where the images are.")
	words     = desc("notify_waiting", "Words that wait to be told to a receiver.", "receiver")
	jobs      = desc("jobs", "Long work on images that is not over, by kind.", "kind")
)

// Describe implements prometheus.Collector. It describes nothing, which makes the collector an unchecked one: some
// figures are there only with DHCP, or with a store.
func (s *Server) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (s *Server) Collect(out chan<- prometheus.Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.src.Figures(func(id string) bool { return !s.account.closed(id) })
	s.account.add(f)
	g := gauges{out}
	g.set(info, 1, s.src.Version)
	g.engine(&f)
	s.account.tell(out)
	if s.src.DHCP != nil {
		g.dhcp(s.src.DHCP())
	}
	if s.src.Room != nil {
		if free, size, err := s.src.Room(); err != nil {
			out <- prometheus.NewInvalidMetric(storeFree, err)
		} else {
			g.set(storeFree, float64(free))
			g.set(storeSize, float64(size))
		}
	}
	if s.src.Words != nil {
		for _, r := range s.src.Words() {
			g.set(words, float64(r.Waiting), r.Name)
		}
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
}

// gauges tells figures that are as they are now.
type gauges struct{ out chan<- prometheus.Metric }

func (g gauges) set(d *prometheus.Desc, v float64, labels ...string) {
	g.out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (g gauges) engine(f *engine.Figures) {
	g.set(machines, float64(f.Machines))
	g.set(strange, float64(f.Waiting))
	for _, where := range []string{doc.Booting, doc.Ready, doc.Left, doc.Silent} {
		g.set(nodes, float64(f.Nodes[where]), where)
	}
	g.set(unsaved, f.Unsaved.Seconds())
	going, working := map[[2]string]int{}, map[[3]string]int{}
	var running, slow int
	var rate float64
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
			working[[3]string{s.Kind, s.Parts[j].State, s.Parts[j].Step}]++
		}
	}
	for k, n := range going {
		g.set(sessions, float64(n), k[0], k[1])
	}
	for k, n := range working {
		g.set(parts, float64(n), k[0], k[1], k[2])
	}
	g.set(casts, float64(running))
	g.set(stragglers, float64(slow))
	g.set(castRate, rate/8)
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
func (a *account) tell(out chan<- prometheus.Metric) {
	count := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	for k, n := range a.sessions {
		count(ended, float64(n), k[0], k[1])
	}
	for k, n := range a.parts {
		count(endedParts, float64(n), k[0], k[1])
	}
	count(castSent, a.cast.sent)
	count(castRepair, a.cast.repair)
	count(castWire, a.cast.wire)
	count(castReject, a.cast.rejected)
	count(received, a.received.multicast, "multicast")
	count(received, a.received.unicast, "unicast")
	count(written, a.received.written)
	count(captured, a.received.captured)
	for kind, h := range a.session {
		out <- prometheus.MustNewConstHistogram(took, h.count, h.sum, maps.Clone(h.buckets), kind)
	}
	for k, h := range a.steps {
		out <- prometheus.MustNewConstHistogram(stepTook, h.count, h.sum, maps.Clone(h.buckets), k[0], k[1])
	}
}
