package engine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/model"
)

// describeImage is the image of a session: for a capture, its name only.
func (e *Engine) describeImage(spec *model.Spec) (session.Image, error) {
	if spec.Capture == "" {
		return e.cfg.Images.Describe(spec.Image)
	}
	if e.cfg.Captures == nil {
		return session.Image{}, errors.New("this server takes no captures")
	}
	if err := e.roomFor(); err != nil {
		return session.Image{}, err
	}
	if spec.Parent != "" {
		if _, err := e.cfg.Images.Describe(spec.Parent); err != nil {
			return session.Image{}, fmt.Errorf("parent: %w", err)
		}
	}
	return session.Image{Name: spec.Capture}, nil
}

// newUpload names the upload. Session ids begin anew with a new state directory, while the store may be an old one.
func newUpload(id string, spec *model.Spec) *session.Upload {
	var b [6]byte
	rand.Read(b[:])
	return &session.Upload{ID: id + "-" + hex.EncodeToString(b[:]), Name: spec.Capture, Level: spec.Level, Grid: image.DefaultGrid, DropGaps: spec.DropGaps}
}

// describeCapture writes the descriptor once: a node that rebooted gets the same one again, and the server has what
// it sent before.
func (e *Engine) describeCapture(s *sess, n *node) {
	if d := n.Descriptor; d != nil && d.Session == s.ID && d.Action == session.Capture {
		e.saveNode(n)
		return
	}
	up, target, boot := *s.Upload, s.Spec.Target, *s.Spec.Boot
	e.describe(n, &session.Descriptor{Session: s.ID, Action: session.Capture, Upload: &up, Target: &target, Disk: s.parts[n.ID].Disk, Boot: &boot})
}

// Upload is what the API must know of a capture that a node works on.
type Upload struct {
	session.Upload
	Session string
	Parent  string
	Digest  string // of the image, once it is stored
}

// Upload finds the capture that the node has a part in.
func (e *Engine) Upload(id, upload string) (*Upload, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.nodes[id]
	if n == nil {
		return nil, fmt.Errorf("node %s: %w", id, ErrNotFound)
	}
	s := e.current(n)
	if s == nil || s.Upload == nil || s.Upload.ID != upload {
		return nil, fmt.Errorf("capture %s of node %s: %w: its session is over", upload, id, ErrNotFound)
	}
	return &Upload{Upload: *s.Upload, Session: s.ID, Parent: s.Spec.Parent, Digest: s.Image.Manifest}, nil
}

// Captured records that the upload is an image now. When it returns nil, that is durable.
func (e *Engine) Captured(ctx context.Context, u *Upload, digest string) error {
	img, err := e.cfg.Images.Describe(digest)
	if err != nil {
		return err
	}
	img.Name = u.Name
	e.mu.Lock()
	s := e.sessions[u.Session]
	if s == nil || s.Over() {
		e.mu.Unlock()
		return fmt.Errorf("capture %s: %w: its session is over", u.ID, ErrNotFound)
	}
	s.Image = img
	e.saveSession(s)
	e.mu.Unlock()
	e.log.Info("disk captured", "session", u.Session, "image", u.Name, "manifest", digest)
	return e.w.wait(ctx)
}

// uploaded ends the part of a node that says that its disk is stored.
func (e *Engine) uploaded(s *sess, n *node, p *model.Part) {
	if s.Image.Manifest == "" {
		e.finishPart(s, n, p, model.Failed, "the node says that its disk is stored, and the server has no such image: capture it again")
		return
	}
	stays := s.Spec.Boot.Method == session.BootStay
	if !stays {
		n.Where = model.Left
	}
	e.claimDone(s, n, p)
	if stays && e.current(n) == nil {
		e.join(n)
	}
}

// endUpload throws away what came of a capture that is not an image.
func (e *Engine) endUpload(s *sess) {
	if s.Upload == nil || e.cfg.Captures == nil || e.runCtx == nil {
		return
	}
	id := s.Upload.ID
	e.casts.Add(1)
	// Ends when the files are gone: there may be many, and the lock is held here.
	go func() {
		defer e.casts.Done()
		e.cfg.Captures.End(id)
	}()
}
