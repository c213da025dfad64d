package engine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
)

// describeImages are the images of a session, one for each disk of a machine.
func (e *Engine) describeImages(kind jobs.Kind, spec *doc.Spec) ([]session.Image, error) {
	first, err := e.describeImage(kind, spec)
	imgs := []session.Image{first}
	for i := range spec.MoreDisks {
		if err != nil {
			break
		}
		one := doc.Spec{Image: spec.MoreDisks[i].Image}
		var im session.Image
		if im, err = e.describeImage(kind, &one); err != nil {
			err = fmt.Errorf("disk %d: %w", i+2, err)
		}
		imgs = append(imgs, im)
	}
	return imgs, err
}

// describeImage is the first image of a session: where it is yet to be made, its name only.
func (e *Engine) describeImage(kind jobs.Kind, spec *doc.Spec) (session.Image, error) {
	if kind.Traits().Cast {
		im, err := e.cfg.Images.Describe(spec.Image)
		if err != nil {
			return im, err
		}
		if why := e.cfg.Images.Misplaced(im.Manifest, kind.Traits().Action == session.RestorePartition); why != "" {
			return im, fmt.Errorf("image %s: %s", spec.Image, why)
		}
		return im, nil
	}
	up := kind.Upload("u", spec)
	if up == nil {
		return session.Image{}, nil
	}
	if e.cfg.Captures == nil {
		return session.Image{}, errors.New("this server takes no captures")
	}
	if image.LooksLikeDigest(up.Name) && spec.Capture != "" {
		if im, err := e.cfg.Images.Describe(up.Name); err == nil && image.BeginsDigest(im.Manifest, up.Name) {
			return session.Image{}, image.DigestNameError(up.Name, im.Manifest)
		}
	}
	if err := e.roomFor(); err != nil {
		return session.Image{}, err
	}
	if spec.Parent != "" {
		if _, err := e.cfg.Images.Describe(spec.Parent); err != nil {
			return session.Image{}, fmt.Errorf("parent: %w", err)
		}
	}
	return session.Image{Name: up.Name}, nil
}

// nameTaken warns of a capture that takes its name from an image that the store has.
func (e *Engine) nameTaken(kind jobs.Kind, spec *doc.Spec) []string {
	up := kind.Upload("u", spec)
	if up == nil {
		return nil
	}
	im, err := e.cfg.Images.Describe(up.Name)
	if err != nil {
		return nil // there is none, or one that nothing can be made of
	}
	const shown = len("sha256:") + 12
	d := im.Manifest[:min(len(im.Manifest), shown)]
	return []string{fmt.Sprintf("There is an image %s already (%s): when this capture is done, the name is moved "+
		"from it to the new one. The one before stays in the store until `diskcast image gc --unnamed`, and "+
		"`diskcast image tag %s NAME` gives it a name.", up.Name, d, d)}
}

// mayTake refuses that somebody who is held to machines moves an image's name, by which others mean it.
func mayTake(spec *doc.Spec, taken []string) error {
	if spec.Within == "" || len(taken) == 0 {
		return nil
	}
	return refuse("the name is taken, and the token, which is held to the machines %s, moves none: choose another. %s",
		spec.Within, strings.Join(taken, " "))
}

// uploadID names an upload. Session ids begin anew with a new state directory, while the store may be an old one.
func uploadID(id string) string {
	var b [6]byte
	rand.Read(b[:])
	return id + "-" + hex.EncodeToString(b[:])
}

// mayWork refuses a session for which a node that it names may not work.
func (e *Engine) mayWork(s *sess) error {
	for _, name := range s.Spec.Nodes {
		id, _ := e.meant(name)
		n := e.nodes[id]
		if n == nil {
			continue
		}
		f := e.facts(n)
		if s.Kind.Refuse(&f) != "" {
			return refuse("node %s may be another machine than you mean: %s", id, f.Doubt)
		}
	}
	return nil
}

// ImportSession stands for a session in an Upload that is no capture but an operator's import.
const ImportSession = "import"

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
	s := e.jobs.Session(u.Session)
	if s == nil || s.Over() {
		e.mu.Unlock()
		return fmt.Errorf("capture %s: %w: its session is over", u.ID, ErrNotFound)
	}
	e.step(jobs.Stored{Session: s.ID, Image: img})
	e.mu.Unlock()
	e.log.Info("disk captured", "session", u.Session, "image", u.Name, "manifest", digest)
	return e.w.Wait(ctx)
}

// dropUpload throws away what came of an upload.
func (e *Engine) dropUpload(id string) {
	if e.cfg.Captures == nil || e.runCtx == nil {
		return
	}
	e.casts.Add(1)
	// Ends when the files are gone: there may be many, and the lock is held here.
	go func() {
		defer e.casts.Done()
		e.cfg.Captures.End(id)
	}()
}
