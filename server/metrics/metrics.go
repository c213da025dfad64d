// Package metrics is what the server counts of itself, for Prometheus. docs/figures.md lists it.
//
// Counters begin at zero when the server starts, as Prometheus expects of them: what ended before is not counted again.
// They are brought up to date when somebody asks, from the account of sessions, which holds the last 200 that ended.
package metrics

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

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
}

// Server serves the figures. All methods may be called from several goroutines.
type Server struct {
	src      Sources
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
	refused  *prometheus.CounterVec

	mu      sync.Mutex
	account account
}

// New makes the server; what src counts now is where its counters begin.
func New(src Sources) *Server {
	s := &Server{src: src, registry: prometheus.NewRegistry(), account: newAccount(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "diskcast_http_request_seconds",
			Help:    "Time that requests of the API took, by route; of those that wait for news, how long they waited.",
			Buckets: []float64{.001, .005, .02, .05, .1, .5, 1, 5, 30, 120}}, []string{"route"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "diskcast_http_refused_total",
			Help: "Requests of the API that were refused, by route and status."}, []string{"route", "code"}),
	}
	s.account.begin(src.Figures(func(string) bool { return true }))
	s.registry.MustRegister(s, s.requests, s.refused, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return s
}

// Request counts an answered request of the API. Route is the pattern that it fitted, code its status.
func (s *Server) Request(route string, code int, took time.Duration) {
	s.requests.WithLabelValues(route).Observe(took.Seconds())
	if code >= http.StatusBadRequest {
		s.refused.WithLabelValues(route, strconv.Itoa(code)).Inc()
	}
}

// Handler answers in Prometheus' text format, and in OpenMetrics where that is asked for.
func (s *Server) Handler() http.Handler {
	return promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{EnableOpenMetrics: true, MaxRequestsInFlight: 4})
}
