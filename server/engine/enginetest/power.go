package enginetest

import (
	"context"
	"slices"
	"sync"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
)

// Power is a power desk whose machines do what a test says, when it says so.
type Power struct {
	mu    sync.Mutex
	asked []*asked
	Unset []string // machines whose power is not set up
}

type asked struct {
	key, want string
	machine   string
	spare     func() string
	done      func(doc.PowerRow)
}

var _ engine.Power = (*Power)(nil)

// Switch implements engine.Power.
func (p *Power) Switch(key string, m doc.Machine, want string, spare func() string, done func(doc.PowerRow)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.ContainsFunc(p.asked, func(a *asked) bool { return a.key == key }) {
		p.asked = append(p.asked, &asked{key, want, m.ID, spare, done})
	}
}

// Drop implements engine.Power.
func (p *Power) Drop(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = slices.DeleteFunc(p.asked, func(a *asked) bool { return a.key == key })
}

// Reaches implements engine.Power.
func (p *Power) Reaches(_ context.Context, machine string) (bool, error) {
	return !slices.Contains(p.Unset, machine), nil
}

// Asked lists what is asked for and was not answered, in the order of its asking: "m1 on".
func (p *Power) Asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := []string{}
	for _, a := range p.asked {
		out = append(out, a.machine+" "+a.want)
	}
	return out
}

// Answer says what came of what was asked for first, and whether anything was; a machine whose power is to be taken
// away is left alone where the engine says so.
func (p *Power) Answer(row doc.PowerRow) bool {
	p.mu.Lock()
	if len(p.asked) == 0 {
		p.mu.Unlock()
		return false
	}
	a := p.asked[0]
	p.asked = p.asked[1:]
	p.mu.Unlock()
	if why := a.spare(); a.want != doc.PowerOn && why != "" && row.State == doc.Done {
		row.Power, row.Words = "on", "it was left alone, for "+why
	}
	row.Machine = a.machine
	a.done(row)
	return true
}
