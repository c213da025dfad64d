package serve

import (
	"context"
	"log/slog"

	"github.com/diskcast/diskcast/internal/cast/querier"
)

// querierTask asks the LAN's hosts for their multicast groups. Where it cannot, casts may still arrive: the server goes
// on.
type querierTask struct {
	q     *querier.Querier
	log   *slog.Logger
	ready chan struct{}
}

func newQuerier(q *querier.Querier, log *slog.Logger) *querierTask {
	return &querierTask{q: q, log: log, ready: make(chan struct{})}
}

func (t *querierTask) Name() string           { return "querier" }
func (t *querierTask) Ready() <-chan struct{} { return t.ready }

func (t *querierTask) Run(ctx context.Context) error {
	close(t.ready)
	if err := t.q.Run(ctx); err != nil && ctx.Err() == nil {
		t.log.Warn("no IGMP querier: a switch with IGMP snooping may stop forwarding casts", "err", err)
	}
	<-ctx.Done()
	return nil
}
