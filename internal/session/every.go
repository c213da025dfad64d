package session

import (
	"net/http"
	"strconv"
	"time"
)

// everyHeader is what the server says of the time between two progress events of a node, in whole seconds, in its
// answer to events. It grows with the nodes that work, so that what reports cost does not.
const everyHeader = "Diskcast-Report-Every"

// Bounds of the time between two progress events.
const (
	ReportEvery = time.Second // where the server says nothing
	ReportMost  = 30 * time.Second
)

// SetReportEvery says in an answer how often the node is to tell its progress.
func SetReportEvery(h http.Header, d time.Duration) {
	if d > ReportEvery {
		h.Set(everyHeader, strconv.Itoa(int((min(d, ReportMost)+time.Second-1)/time.Second)))
	}
}

// ReportEveryOf reads it.
func ReportEveryOf(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get(everyHeader))
	if err != nil {
		return ReportEvery
	}
	return min(max(time.Duration(min(n, 3600))*time.Second, ReportEvery), ReportMost)
}
