package enginetest

import (
	"context"
	"sync"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
)

// Hooks are hooks, dns and mail, that end when a test says so.
type Hooks struct {
	mu   sync.Mutex
	runs []hook
}

type hook struct {
	key, name string
	done      func(doc.HookRun)
}

var _ engine.Hooks = (*Hooks)(nil)

// Names implements engine.Hooks.
func (h *Hooks) Names() []string { return []string{"dns", "mail"} }

// Start implements engine.Hooks.
func (h *Hooks) Start(key, name string, _ *doc.Session, _ func(context.Context) error, done func(doc.HookRun)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, x := range h.runs {
		if x.key == key {
			return
		}
	}
	h.runs = append(h.runs, hook{key, name, done})
}

// Stop implements engine.Hooks.
func (h *Hooks) Stop(key string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, x := range h.runs {
		if x.key == key {
			h.runs = append(h.runs[:i:i], h.runs[i+1:]...)
			return
		}
	}
}

// Running lists what runs: "s1/before dns".
func (h *Hooks) Running() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := []string{}
	for _, x := range h.runs {
		out = append(out, x.key+" "+x.name)
	}
	return out
}

// End ends the one that was begun first, and reports whether there was one.
func (h *Hooks) End(row doc.HookRun) bool {
	h.mu.Lock()
	if len(h.runs) == 0 {
		h.mu.Unlock()
		return false
	}
	x := h.runs[0]
	h.runs = h.runs[1:]
	h.mu.Unlock()
	x.done(row)
	return true
}
