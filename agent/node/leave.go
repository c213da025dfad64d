package node

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/diskcast/diskcast/agent/bootos"
	"github.com/diskcast/diskcast/agent/efiboot"
	"github.com/diskcast/diskcast/agent/imaging"
	"github.com/diskcast/diskcast/internal/session"
)

// enter makes the machine's boot entry for the disk. It is reported in any case: a disk that will not start by itself is said to be one.
func (n *Node) enter(ctx context.Context, r *imaging.Result) {
	level := session.Info
	words, err := n.guardedEntry(ctx, r)
	switch {
	case errors.Is(err, efiboot.ErrUnbootable):
		level, words = session.Error, err.Error()
	case err != nil:
		level, words = session.Warn, err.Error()
	}
	n.o.Report.Step(session.StepEntry, level, words, nil)
}

// guardedEntry keeps a panic, which would be a bug, from taking a good restore with it.
func (n *Node) guardedEntry(ctx context.Context, r *imaging.Result) (words string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("no boot entry was made, because the agent is broken, please report this: %v\n%s", p, debug.Stack())
		}
	}()
	return n.o.Entry(ctx, r)
}

// boot leaves the network userland in the way that the descriptor says.
func (n *Node) boot(ctx context.Context, d *session.Descriptor, r *imaging.Result) {
	method, appendix := session.BootKexec, ""
	if d.Boot != nil {
		method, appendix = d.Boot.Method, d.Boot.Append
	}
	if method != session.BootKexec {
		n.leave(ctx, method, "as the session asks")
		return
	}
	what, err := n.o.Boot.Prepare(ctx, r, appendix)
	if err != nil {
		n.restart(ctx, err)
		return
	}
	n.say(ctx, session.Info, "kexec: "+what)
	err = n.o.Boot.Kexec()
	n.leave(ctx, session.BootReboot, fmt.Sprintf("kexec failed, so the firmware has to start the disk: %v", err))
}

// restart leaves the disk to the firmware. That the machine's own loader must do what is on the disk is no fault; that nothing can be
// started from the disk is one, although the restore itself is done.
func (n *Node) restart(ctx context.Context, err error) {
	var own *bootos.Restart
	switch {
	case errors.Is(err, bootos.ErrNoSystem):
		n.leaveAs(ctx, session.Error, session.BootReboot, fmt.Sprintf("the disk is written, but %v; a restart will not start it either: see whether the image is a system for this machine", err))
	case errors.As(err, &own):
		n.leave(ctx, session.BootReboot, fmt.Sprintf("the machine's own boot loader starts the disk, through the firmware: %v", err))
	default:
		n.leave(ctx, session.BootReboot, fmt.Sprintf("kexec is impossible, so the firmware has to start the disk: %v", err))
	}
}

// leave restarts, switches off or stays, and says so first.
func (n *Node) leave(ctx context.Context, method, why string) {
	n.leaveAs(ctx, session.Info, method, why)
}

func (n *Node) leaveAs(ctx context.Context, level, method, why string) {
	var do func() error
	switch method {
	case session.BootStay:
		n.say(ctx, level, "stay: "+why)
		return
	case session.BootPoweroff:
		do = n.o.Boot.Poweroff
	default:
		do = n.o.Boot.Reboot
	}
	n.say(ctx, level, method+": "+why)
	if err := do(); err != nil {
		n.fail(fmt.Errorf("the machine does not obey: %s: %w; switch it off and on", method, err))
	}
}

// say reports the last event of a session and waits, for a while, until the server has it: after that the node
// says nothing more.
func (n *Node) say(ctx context.Context, level, message string) {
	n.o.Report.Step(session.StepBoot, level, message, nil)
	ctx, cancel := context.WithTimeout(ctx, n.o.LastWord)
	defer cancel()
	start := time.Now()
	if err := n.o.Report.Flush(ctx); err != nil {
		n.o.Log.Warn("leaving although the server may not know that this node is done", "waited", time.Since(start).Round(time.Second), "error", err)
	}
}
