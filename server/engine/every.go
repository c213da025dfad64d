package engine

import (
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// reportsASec is how many reports of progress a second nodes are let make, in all: each costs the server some tenth of
// a millisecond of a processor, and one a second of 5,000 nodes would take most of one.
const reportsASec = 1000

// ReportEvery is how often a node is to tell its progress while as many work as now.
func (e *Engine) ReportEvery() time.Duration { return time.Duration(e.every.Load()) }

// countReports sets ReportEvery.
func (e *Engine) countReports() {
	running := 0
	for _, id := range e.jobs.Order() {
		s := e.jobs.Session(id)
		if s.Over() {
			continue
		}
		for _, p := range s.Parts {
			if p.State == doc.Running {
				running++
			}
		}
	}
	e.every.Store(int64(max(session.ReportEvery, time.Duration(running)*time.Second/reportsASec)))
}
