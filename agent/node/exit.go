package node

import (
	"context"
	"fmt"
	"time"

	"github.com/diskcast/diskcast/internal/session"
)

// Exit is the way out of the network userland, for a job that is done.
type Exit struct{ n *Node }

func (n *Node) exit() *Exit { return &Exit{n} }

// AsAsked leaves as the descriptor says; a job that starts nothing stays where the descriptor says nothing.
func (e *Exit) AsAsked(ctx context.Context, b *session.Boot) {
	method := session.BootStay
	if b != nil {
		method = b.Method
	}
	e.Leave(ctx, session.Info, method, "as the session asks")
}

// Leave restarts, switches off or stays, and says so first.
func (e *Exit) Leave(ctx context.Context, level, method, why string) {
	var do func() error
	switch method {
	case session.BootStay:
		e.Say(ctx, level, "stay: "+why)
		return
	case session.BootPoweroff:
		do = e.n.o.Machine.Poweroff
	default:
		do = e.n.o.Machine.Reboot
	}
	e.Say(ctx, level, method+": "+why)
	if err := do(); err != nil {
		e.n.fail(fmt.Errorf("the machine does not obey: %s: %w; switch it off and on", method, err))
	}
}

// Say reports the last event of a session and waits, for a while, until the server has it: after that the node
// says nothing more.
func (e *Exit) Say(ctx context.Context, level, message string) {
	e.n.o.Report.Step(session.StepBoot, level, message, nil)
	ctx, cancel := context.WithTimeout(ctx, e.n.o.LastWord)
	defer cancel()
	start := time.Now()
	if err := e.n.o.Report.Flush(ctx); err != nil {
		e.n.o.Log.Warn("leaving although the server may not know that this node is done",
			"waited", time.Since(start).Round(time.Second), "error", err)
	}
}
