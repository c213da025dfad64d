package node

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/diskcast/diskcast/internal/session"
)

// Action begins the work that a descriptor asks for.
type Action func(d *session.Descriptor) Job

// Job is one descriptor being carried out.
type Job interface {
	// Run does the work and reports its steps, except that it failed: its error is reported for it, and a panic is an
	// error. It ends soon after ctx does.
	Run(ctx context.Context) error
	// Takes looks at a descriptor that came since, and tells whether the job goes on with it. If it does not, the job
	// is ended and the descriptor carried out after it. done says that Run had success. It is called beside Run and
	// Leave, never twice at the same time.
	Takes(nd *session.Descriptor, done bool) bool
	// Leave does what comes after a Run that had success. It may not return: the machine may restart.
	Leave(ctx context.Context, exit *Exit)
	// Unfinished says, for the log, what is not done when another task took the job's place.
	Unfinished() string
}

// ErrReplaced is the cause of a job's end when the server has other plans with the node.
var ErrReplaced = errors.New("the server gave this node another task")

// unknown is said of a descriptor that is meant for another agent than this one.
func unknown(action string) error {
	return fmt.Errorf("this agent does not know the action %q: it is older than the server; make the boot directory "+
		"anew with the mkimage of the server's release, and start the machine again", action)
}

func (n *Node) fail(err error) {
	n.o.Report.Step(session.StepFailed, session.Error, err.Error(), nil)
}

// carryOut runs a job and watches for descriptors that change or end it. It returns the one that is to be carried out
// next, if any.
func (n *Node) carryOut(ctx context.Context, d *session.Descriptor, begin Action) (next *session.Descriptor) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	j := begin(d)
	ended, done := make(chan struct{}), make(chan struct{})
	// Ends with ctx at the latest; waited for below.
	go func() {
		defer close(ended)
		if n.succeeded(ctx, d, j) {
			close(done)
			j.Leave(ctx, n.exit())
		}
	}()
	for {
		select {
		case <-ended:
			return next
		case nd := <-n.descs:
			leaving := isClosed(done)
			if next == nil && j.Takes(nd, leaving) {
				continue
			}
			if next == nil && !leaving {
				n.o.Log.Warn("stopping: the server gave this node another task", "session", d.Session, "next",
					nd.Action)
				cancel(ErrReplaced)
			}
			// The job is done: the server says idle, because it has the last event. If the node stays, that is next.
			next = nd
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// succeeded runs the job and tells how it ended: it reports a failure, and logs it when a newer descriptor took the
// job's place.
func (n *Node) succeeded(ctx context.Context, d *session.Descriptor, j Job) bool {
	err := guarded(ctx, j)
	// What the work held in memory makes room for a kernel.
	debug.FreeOSMemory()
	switch {
	case err == nil:
		return true
	case errors.Is(context.Cause(ctx), ErrReplaced):
		n.o.Log.Warn(j.Unfinished(), "session", d.Session)
	case ctx.Err() == nil:
		n.o.Failing()
		n.fail(err)
	}
	return false
}

// guarded makes a panic in the job, which would be a bug, a failure like others: with its place, on the server.
func guarded(ctx context.Context, j Job) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the agent is broken, please report this: %v\n%s", p, debug.Stack())
		}
	}()
	return j.Run(ctx)
}
