// Package metrics is what the server counts of itself, for Prometheus. docs/figures.md lists it.
//
// Counters begin at zero when the server starts, as Prometheus expects of them: what ended before is not counted again.
// They are brought up to date when somebody asks, from the account of sessions, which holds the last 200 that ended.
package metrics

import (
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
)

// Sources are where figures come from. What is nil is not served.
type Sources struct {
	Version string
	Figures func(parts func(id string) bool) engine.Figures
	DHCP    func() doc.DHCP
	// Room is of the image store, in bytes.
	Room func() (free, size uint64, err error)
	// Words are how many words wait to be told, and how many were given up, by receiver.
	Words func() []doc.NotifyReceiver
	Jobs  func() []doc.Job
	// Record is how many entries of the record of changes wait to be stored, and how many were lost.
	Record func() (waiting, lost int)
	// Power is how often what was asked of machines' power was done, and how often it failed.
	Power func() (done, failed uint64)
}

// Server serves the figures. All methods may be called from several goroutines.
type Server struct {
	src Sources

	mu       sync.Mutex
	account  account
	requests map[string]*histogram // seconds of requests, by route
	refused  map[[2]string]uint64  // by route and status
}

// New makes the server; what src counts now is where its counters begin.
func New(src Sources) *Server {
	s := &Server{src: src, account: newAccount(), requests: map[string]*histogram{}, refused: map[[2]string]uint64{}}
	s.account.begin(src.Figures(func(string) bool { return false })) // of what is over nothing is counted again
	return s
}

// Request counts an answered request of the API. Route is the pattern that it fitted, code its status.
func (s *Server) Request(route string, code int, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	observe(s.requests, answers, route, took.Seconds())
	if code >= http.StatusBadRequest {
		s.refused[[2]string{route, strconv.Itoa(code)}]++
	}
}

// Handler answers in Prometheus' text format. It answers 500, with the cause, where a figure cannot be had: a figure
// that is silently missing would raise no alarm.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		e, err := s.collect()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		if _, err := e.WriteTo(w); err != nil {
			slog.Debug("figures were asked for and not taken", "err", err)
		}
	})
}
