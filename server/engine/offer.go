package engine

import (
	"bytes"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/model"
)

// greet settles what a reboot of the node means for its part.
func (e *Engine) greet(n *node) {
	e.settleReboot(n)
	if e.claimed(n) != nil {
		e.idle(n)
		return
	}
	s := e.current(n)
	if s == nil {
		// A node that failed is restarted by the operator to try again.
		if last := e.sessions[n.Last]; last != nil && last.Going() {
			if p := last.parts[n.ID]; p != nil && p.State == model.Failed {
				n.Session = last.ID
				e.offer(last, n, p)
				return
			}
		}
		e.idle(n)
		return
	}
	if p := s.parts[n.ID]; p.State != model.Waiting {
		e.offer(s, n, p)
	}
}

// comeBack settles what the node is told when a boot of it is heard again: what it had is still its own.
func (e *Engine) comeBack(n *node) {
	if s := e.current(n); s == nil {
		e.idle(n)
	} else if p := s.parts[n.ID]; p.State != model.Waiting && s.Upload == nil {
		e.describeRestore(s, n)
	}
}

// offer gives the node its descriptor.
func (e *Engine) offer(s *sess, n *node, p *model.Part) {
	p.State, p.Reason, p.Warning, p.Progress, p.Step = model.Offered, "", "", nil, ""
	p.Unbootable = e.foreseen(s, n)
	p.Steps, p.Heard = e.startTrace(n), e.now()
	p.Boots++
	if s.Upload != nil {
		if n.Odd[oddDMI] != "" {
			e.finishPart(s, n, p, model.Failed, "nothing is captured from a node that may be another machine than is meant: "+n.Odd[oddDMI])
			return
		}
		e.describeCapture(s, n)
	} else {
		n.Imaged = false
		e.describeRestore(s, n)
	}
	e.savePart(s, n.ID)
}

// foreseen is Part.Unbootable before the node has looked at its disk: the node's firmware is not one that starts the image. A node that
// never said hello has no firmware that is known.
func (e *Engine) foreseen(s *sess, n *node) string {
	if n == nil || s.Upload != nil || n.Inventory.Firmware == "" {
		return ""
	}
	return e.cfg.Images.FirmwareWarning(s.Image.Manifest, n.Inventory.Firmware)
}

// describeRestore writes the descriptor anew only when it would say something else: a node that rebooted gets the
// same one again.
func (e *Engine) describeRestore(s *sess, n *node) {
	if d := n.Descriptor; d != nil && d.Session == s.ID && d.Action == session.Restore && sameCast(d.Cast, s.Params) {
		e.saveNode(n)
		return
	}
	img, target, boot := s.Image, s.Spec.Target, *s.Spec.Boot
	e.describe(n, &session.Descriptor{Session: s.ID, Action: session.Restore, Image: &img, Cast: s.Params, Target: &target, Disk: s.parts[n.ID].Disk,
		Mode: s.Spec.Mode, Verify: s.Spec.Verify, NoGrow: s.Spec.NoGrow, Boot: &boot})
}

func sameCast(a, b *session.Cast) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.ID == b.ID && a.Group == b.Group && a.Feedback == b.Feedback && bytes.Equal(a.Sender, b.Sender)
}
