package traces

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"time"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
)

// maxSpans bounds the spans of one request, some 500 bytes each.
const maxSpans = 1000

// The documents of OTLP in JSON: ids are hexadecimal, 64-bit numbers are strings, kinds and codes are numbers
// (opentelemetry-proto, trace.proto).
type request struct {
	ResourceSpans []resourceSpans `json:"resourceSpans"`
}

type resourceSpans struct {
	Resource   resource     `json:"resource"`
	ScopeSpans []scopeSpans `json:"scopeSpans"`
}

type resource struct {
	Attributes []attribute `json:"attributes"`
}

type scopeSpans struct {
	Scope scope  `json:"scope"`
	Spans []span `json:"spans"`
}

type scope struct {
	Name string `json:"name"`
}

type span struct {
	TraceID    string      `json:"traceId"`
	SpanID     string      `json:"spanId"`
	Parent     string      `json:"parentSpanId,omitempty"`
	Name       string      `json:"name"`
	Kind       int         `json:"kind"`
	Start      string      `json:"startTimeUnixNano"`
	End        string      `json:"endTimeUnixNano"`
	Attributes []attribute `json:"attributes,omitempty"`
	Status     status      `json:"status"`
}

type status struct {
	Message string `json:"message,omitempty"`
	Code    int    `json:"code,omitempty"`
}

// Kinds of spans and codes of their ends.
const (
	kindInternal = 1
	codeOK       = 1
	codeError    = 2
)

type attribute struct {
	Key   string `json:"key"`
	Value value  `json:"value"`
}

type value struct {
	String string `json:"stringValue,omitempty"`
	Int    string `json:"intValue,omitempty"`
}

func text(key, s string) attribute { return attribute{key, value{String: s}} }

func number(key string, n int64) attribute {
	return attribute{key, value{Int: strconv.FormatInt(n, 10)}}
}

// ids makes an id of so many bytes of words.
func ids(n int, words ...string) string {
	h := sha256.New()
	for _, w := range words {
		h.Write([]byte(w))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:n])
}

func ended(state string) status {
	switch state {
	case doc.Done:
		return status{Code: codeOK}
	case doc.Failed:
		return status{Code: codeError, Message: state}
	}
	return status{Message: state}
}

// spans are those of a session: its own, one for each machine, one for each step of a machine from the step before.
func (x *Exporter) spans(s *engine.SessionFigures) []span {
	trace := ids(16, x.cfg.Pin, s.ID, s.Created.UTC().Format(time.RFC3339Nano))
	id := func(words ...string) string { return ids(8, append([]string{trace}, words...)...) }
	make := func(name, id, parent string, from, to time.Time, st status, more ...attribute) span {
		if to.Before(from) { // a clock was set
			to = from
		}
		return span{TraceID: trace, SpanID: id, Parent: parent, Name: name, Kind: kindInternal,
			Start: strconv.FormatInt(from.UnixNano(), 10), End: strconv.FormatInt(to.UnixNano(), 10), Status: st,
			Attributes: append(more, text("diskcast.session", s.ID))}
	}
	began := s.Started
	if began.IsZero() {
		began = s.Created
	}
	root := id("session")
	out := []span{make(s.Kind, root, "", began, s.Ended, ended(s.State), text("diskcast.kind", s.Kind),
		text("diskcast.state", s.State), number("diskcast.machines", int64(len(s.Parts))),
		number("diskcast.cast.sent_bytes", s.Cast.Sent), number("diskcast.cast.repair_bytes", s.Cast.Repair))}
	for i := range s.Parts {
		p := &s.Parts[i]
		type step struct {
			name string
			at   time.Time
		}
		var steps []step
		for name, m := range p.Steps {
			steps = append(steps, step{name, m.Time})
		}
		order := func(name string) int { return slices.Index(doc.TimelineSteps, name) }
		slices.SortFunc(steps, func(a, b step) int {
			return cmp.Or(a.at.Compare(b.at), cmp.Compare(order(a.name), order(b.name)), cmp.Compare(a.name, b.name))
		})
		from, to := began, began
		if n := len(steps); n > 0 {
			from, to = steps[0].at, steps[n-1].at
		}
		machine := id("machine", p.Node)
		out = append(out, make(p.Node, machine, root, from, to, ended(p.State), text("diskcast.node", p.Node),
			text("diskcast.state", p.State), number("diskcast.multicast_bytes", p.Progress.Multicast),
			number("diskcast.unicast_bytes", p.Progress.Unicast), number("diskcast.written_bytes", p.Progress.Written)))
		for j, st := range steps {
			before := st.at
			if j > 0 {
				before = steps[j-1].at
			}
			out = append(out, make(st.name, id("step", p.Node, st.name), machine, before, st.at, status{},
				text("diskcast.node", p.Node)))
		}
	}
	return out
}
