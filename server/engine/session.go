package engine

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
)

// Create makes a session. Its cast's group, port and key are chosen now and stay for its life.
func (e *Engine) Create(ctx context.Context, spec doc.Spec) (*doc.Session, error) {
	return e.create(ctx, spec, nil)
}

// create is Create. Confirmed is the only disk that the session's one machine may have, nil for any.
func (e *Engine) create(ctx context.Context, spec doc.Spec, confirmed *session.DiskID) (*doc.Session, error) {
	kind, imgs, secret, said, alike, err := e.vet(ctx, &spec)
	if err != nil {
		return nil, err
	}
	if spec.GiveUp == 0 {
		spec.GiveUp = doc.DefaultGiveUp
	}
	s := &sess{Kind: kind, Parts: map[string]*doc.Part{}}
	s.Spec, s.State, s.Created, s.Asked, s.Alike = spec, doc.Waiting, e.now(), askedFor(ctx), alike
	bring(s, imgs)
	img := s.Image
	var groups []netip.AddrPort
	if kind.Traits().Cast {
		s.Notes, s.Starts = e.cfg.Images.StartNotes(img.Manifest), e.starts(img.Manifest)
		if groups, err = e.groups(ctx, s); err != nil {
			return nil, err
		}
	}
	e.mu.Lock()
	e.unreserve(groups)
	e.seq++
	if err := e.prepare(ctx, s, groups, secret, confirmed); err != nil {
		e.letGo(s.ID)
		delete(e.runs, s.ID)
		e.seq--
		e.mu.Unlock()
		return nil, err
	}
	e.step(jobs.Created{Session: s})
	view := e.view(s, true)
	view.Warnings = slices.Concat(said, e.queuedBehind(s), spec.Advice(), e.twins(s), view.Warnings)
	e.mu.Unlock()
	// the session is there in any case; what it became since is written again and again, and told as its warning
	_ = e.w.Wait(ctx)
	e.log.Info("session created", "session", view.ID, "image", img.Name, "manifest", img.Manifest)
	return view, nil
}

// queuedBehind says which sessions come before a new one with machines that it names.
func (e *Engine) queuedBehind(s *sess) (out []string) {
	behind := map[string]bool{}
	more := 0
	for _, id := range e.jobs.Order() {
		o := e.jobs.Session(id)
		if o == s || o.Over() {
			continue
		}
		var shared []string
		for _, node := range s.Order {
			if p := o.Parts[node]; p != nil && !p.Over() && s.Parts[node].Joined.IsZero() && !behind[node] {
				behind[node] = true
				shared = append(shared, node)
			}
		}
		switch {
		case len(shared) == 0:
		case len(out) >= maxWarnings:
			more++
		default:
			what := o.Kind.Traits().Action
			if o.Image.Name != "" {
				what += " " + o.Image.Name
			}
			out = append(out, fmt.Sprintf("Session %s (%s, %s) has %s too and gets it first; this session waits until "+
				"that one is done with it, or `diskcast session cancel %[1]s`.", o.ID, what, o.State,
				e.firstNames(shared)))
		}
	}
	if more > 0 {
		out = append(out, fmt.Sprintf("So have %d more sessions.", more))
	}
	return out
}

// vet refuses a spec of which no session could be made now. It names the spec's machines, and returns what the session
// is made of, what the operator should know of it now, and what of its machines' names and addresses others have.
func (e *Engine) vet(ctx context.Context, spec *doc.Spec) (kind jobs.Kind, imgs []session.Image, secret []byte,
	said, alike []string, err error) {
	if said, err = e.nameMachines(spec); err != nil {
		return nil, nil, nil, nil, nil, err
	}
	if kind, err = e.kinds.Check(spec); err != nil {
		return nil, nil, nil, nil, nil, refuse("%w", err)
	}
	if err := e.maySwitch(ctx, spec); err != nil {
		return nil, nil, nil, nil, nil, err
	}
	if err := e.mayHook(spec); err != nil {
		return nil, nil, nil, nil, nil, err
	}
	secret, alike, err = e.sealable(spec)
	if err != nil {
		return nil, nil, nil, nil, nil, refuse("%w", err)
	}
	if imgs, err = e.describeImages(kind, spec); err != nil {
		return nil, nil, nil, nil, nil, refuse("%w", err)
	}
	taken := e.nameTaken(kind, spec)
	if err := mayTake(spec, taken); err != nil {
		return nil, nil, nil, nil, nil, err
	}
	return kind, imgs, secret, slices.Concat(said, taken), alike, nil
}

// bring has the session bring the images, one for each disk.
func bring(s *sess, imgs []session.Image) {
	s.Image = imgs[0]
	for _, im := range imgs[1:] {
		s.MoreDisks = append(s.MoreDisks, doc.SessionDisk{Image: im})
	}
}

// prepare gives a new session its number, its casts or upload and its parts, and stores it.
func (e *Engine) prepare(ctx context.Context, s *sess, groups []netip.AddrPort, secret []byte,
	confirmed *session.DiskID) (err error) {
	s.ID = sessionID(e.seq)
	if secret != nil {
		s.Sealed = e.cfg.Seal.Seal(boxOf(s.ID), secret)
	}
	for i, group := range groups {
		if !group.IsValid() {
			continue
		}
		if err := e.allocate(s, i, group); err != nil {
			return err
		}
	}
	if err := e.mayWork(s); err != nil {
		return err
	}
	s.Upload = s.Kind.Upload(uploadID(s.ID), &s.Spec)
	if err := e.hold(s); err != nil {
		return refuse("%w", err)
	}
	e.nameParts(s)
	for _, p := range s.Parts {
		p.Confirmed = confirmed
	}
	if err := e.storeNew(ctx, s); err != nil {
		return fmt.Errorf("the session was not created: %w", err)
	}
	return nil
}

// Cancel ends a session; its nodes go idle. It ends at once, also while it cannot be stored that it has: the view then
// has a warning.
func (e *Engine) Cancel(ctx context.Context, id string) (*doc.Session, error) {
	e.mu.Lock()
	s := e.jobs.Session(id)
	if s == nil {
		e.mu.Unlock()
		return nil, e.noSession(id)
	}
	e.step(jobs.Cancel{Session: id})
	view := e.view(s, true)
	e.mu.Unlock()
	if err := e.w.Wait(ctx); err != nil {
		view.Warnings = append(view.Warnings,
			fmt.Sprintf("The session is over, but the server could not write that down yet: %v. It tries again every "+
				"second; nodes are told when it can, and a server that is killed before goes on with the "+
				"session.", err))
	}
	return view, nil
}

// sessionID names the session of the number.
func sessionID(n uint64) string { return "s" + strconv.FormatUint(n, 10) }
