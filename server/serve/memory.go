package serve

import (
	"context"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// How often garbage is looked for: GOGC (runtime/debug.SetGCPercent). Until the server is ready, what is read stays and
// little is garbage; from then on most of what lives is kept for long, and is looked at some times a minute even when
// 5,000 machines work.
const (
	startGC = 400
	runGC   = 40
)

// ballast is memory that is never touched and counts as what lives until the server is ready: without it a third of the
// start with 10,000 machines was spent on looking for garbage in a heap that grows.
const ballast = 64 << 20

// Memory beyond which garbage is looked for earlier than by runGC, in bytes: a second in which 5,000 machines tell
// something makes more of it than an hour. It grows with what lives, so that a server that needs more is not slow.
const (
	softMemory = 240 << 20
	leastRoom  = 8 // what lives, divided by it, is left to garbage in any case
	otherRoom  = 8 << 20
	lookEvery  = time.Second
)

// collecting has garbage looked for seldom until ready is called; ctx ends it.
func collecting(ctx context.Context) (ready func()) {
	held := make([]byte, ballast)
	often := debug.SetGCPercent(startGC)
	if os.Getenv("GOGC") == "" {
		often = runGC
	}
	return sync.OnceFunc(func() {
		runtime.KeepAlive(held)
		held = nil
		if os.Getenv("GOMEMLIMIT") == "" {
			m := newMemory()
			m.bound()
			go m.watch(ctx) // ends with ctx
		}
		debug.SetGCPercent(often)
	})
}

// memory bounds what Go takes.
type memory struct{ samples []metrics.Sample }

func newMemory() *memory {
	m := &memory{}
	for _, name := range []string{"/gc/heap/live:bytes", "/memory/classes/total:bytes",
		"/memory/classes/heap/released:bytes", "/memory/classes/heap/free:bytes",
		"/memory/classes/heap/objects:bytes"} {
		m.samples = append(m.samples, metrics.Sample{Name: name})
	}
	return m
}

func (m *memory) watch(ctx context.Context) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			debug.SetMemoryLimit(math.MaxInt64)
			return
		case <-look.C:
			m.bound()
		}
	}
}

// bound sets the bound by what lives now, and by what is neither that nor garbage: stacks, and room between objects.
func (m *memory) bound() {
	metrics.Read(m.samples)
	of := func(i int) int64 { return int64(m.samples[i].Value.Uint64()) }
	live := of(0)
	other := of(1) - of(2) - of(3) - of(4)
	debug.SetMemoryLimit(max(softMemory, live+live/leastRoom+other+otherRoom))
}
