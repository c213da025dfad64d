package node

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/diskcast/diskcast/agent/imaging"
	"github.com/diskcast/diskcast/internal/session"
)

// Capturer is capturing.Capture with its options filled in. It reports every step, the last one included.
type Capturer func(ctx context.Context, d *session.Descriptor) error

// capture carries out a capture and watches for descriptors that end it.
func (n *Node) capture(ctx context.Context, d *session.Descriptor) (next *session.Descriptor) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended, leaving := make(chan struct{}), make(chan struct{})
	// Ends with ctx at the latest; waited for below.
	go func() {
		defer close(ended)
		n.captureAndLeave(ctx, d, leaving)
	}()
	for {
		select {
		case <-ended:
			return next
		case nd := <-n.descs:
			if next == nil && nd.Action == session.Capture && nd.Session == d.Session {
				continue
			}
			next = nd
			select {
			case <-leaving:
				// The image is stored. The server now says idle, because it knows; if the node stays, that is next.
			default:
				n.o.Log.Warn("stopping: the server gave this node another task", "session", d.Session, "next", nd.Action)
				cancel(imaging.ErrReplaced)
			}
		}
	}
}

func (n *Node) captureAndLeave(ctx context.Context, d *session.Descriptor, leaving chan<- struct{}) {
	if !n.succeeded(ctx, d, n.guardedCapture(ctx, d), "stopped before the disk was captured") {
		return
	}
	close(leaving)
	method := session.BootStay
	if d.Boot != nil {
		method = d.Boot.Method
	}
	n.leave(ctx, method, "as the session asks")
}

// guardedCapture makes a panic in the capture, which would be a bug, a failure like others.
func (n *Node) guardedCapture(ctx context.Context, d *session.Descriptor) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the agent is broken, please report this: %v\n%s", p, debug.Stack())
		}
	}()
	return n.o.Capture(ctx, d)
}
