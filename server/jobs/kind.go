package jobs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// Kind is a sort of session. A kind has no state of its own: what it must remember is in the session's record and in
// the parts.
type Kind interface {
	// Traits are what the kind needs and does.
	Traits() Traits
	// Is reports whether the spec asks for a session of this kind.
	Is(spec *doc.Spec) bool
	// Check says what is wrong with what only this kind has in a spec, and fills in what was left out, the way of
	// leaving among it.
	Check(spec *doc.Spec) error
	// Upload is what a node makes of its disk, by the upload's id; nil where nothing is sent.
	Upload(id string, spec *doc.Spec) *session.Upload
	// Refuse says why a node may not do its part; empty when it may.
	Refuse(f *Facts) string
	// Tell fills in what a node is told of its part. Session, action, rule, disk and way of leaving are there already.
	Tell(r *Record, p *doc.Part, d *session.Descriptor)
	// Report takes in a step that a node reports, and may write on the part what is to be shown, as the event's Result
	// when it is sound. Progress and log lines are the same in all kinds and are not told; the failure of a node is,
	// for what may be in its Result, but ends the part whatever the outcome says.
	Report(s *Session, p *doc.Part, x *Reported) Outcome
	// Complete reports whether a node that boots again has done all that counts of its part, although its last report
	// did not come.
	Complete(s *Session, p *doc.Part) bool
	// Reason is what is said at the session's end, when all parts are over; bad says why some are not done, by node.
	Reason(s *Session, bad []string) string
}

// Sounder is a kind that knows whether what a part has written is a system that may be started.
type Sounder interface {
	// Sound reports whether all of it is there, in a part that is over and was not done.
	Sound(s *Session, p *doc.Part) bool
}

// Leaver is a kind that knows what is on the disk of a machine whose part ended and was not done.
type Leaver interface {
	// Left says it in words, empty for nothing to say.
	Left(s *Session, p *doc.Part) string
}

// Traits are what a kind needs and does.
type Traits struct {
	Action string // of its descriptors
	State  string // of a session while nodes work for it
	Cast   bool   // an image of the store is held while the session is not over, and its object is cast if it has bytes
	Writes bool   // the node's own disk is nothing to boot from the offer on
	Boots  bool   // the node's own disk is what it boots when the part is done
	Keeps  bool   // what the node boots afterwards is what it booted before
	// Personal: what is restored can be made each machine's own.
	Personal bool
	Several  bool // several disks of each machine, each with an image
	Sure     bool // nothing is done by a node of which two boots are alive: its part fails
}

// Outcome is what comes of a report.
type Outcome struct {
	Remark  bool   // it is no step: the timeline stays as it is
	Done    bool   // the part is done, by the node's word
	Failed  string // why the part has failed
	Leaves  bool   // the node leaves the network userland
	Free    bool   // the node may have another part at once
	Suspect *int   // a chunk of the image of which the server's own copy is to be looked at, -1 for all
}

// Kinds are all kinds that a server knows.
type Kinds []Kind

// Of is the kind that the spec asks for, nil when there is none.
func (k Kinds) Of(spec *doc.Spec) Kind {
	for _, kind := range k {
		if kind.Is(spec) {
			return kind
		}
	}
	return nil
}

// Check says what is wrong with a spec, fills in what was left out, and brings node names into their one form.
func (k Kinds) Check(spec *doc.Spec) (Kind, error) {
	if err := spec.CheckVersion(); err != nil {
		return nil, err
	}
	kind := k.Of(spec)
	if kind == nil {
		return nil, fmt.Errorf("this server knows no sessions of the kind %q", spec.Kind)
	}
	if err := kind.Check(spec); err != nil {
		return nil, err
	}
	if err := spec.Check(); err != nil {
		return nil, err
	}
	if len(spec.Personalize) > 0 && !kind.Traits().Personal {
		return nil, errors.New("only a session that restores whole disks personalizes them")
	}
	if len(spec.MoreDisks) > 0 && !kind.Traits().Several {
		return nil, errors.New("only a session that restores whole disks has more_disks: several disks, each with an " +
			"image")
	}
	// The rest is what a descriptor may say: let its own check judge it.
	return kind, checkDescriptor(kind, spec)
}

func checkDescriptor(kind Kind, spec *doc.Spec) error {
	if spec.Boot != nil && strings.ContainsAny(spec.Boot.Append, "\n\x00") {
		return errors.New("boot append has a line break")
	}
	zero := "sha256:" + strings.Repeat("0", 64)
	r := &Record{Session: doc.Session{ID: "s", Spec: *spec}, Upload: kind.Upload("u", spec)}
	blob := session.Blob{Digest: zero, Size: 1}
	r.Image = session.Image{Name: spec.Image, Manifest: zero, Config: blob, Index: blob}
	for _, m := range spec.MoreDisks {
		im := r.Image
		im.Name = m.Image
		r.MoreDisks = append(r.MoreDisks, doc.SessionDisk{Image: im})
	}
	d := descriptor(kind, r, &doc.Part{Node: "n"})
	d.V, d.Node = session.Version, "n"
	b, err := json.Marshal(&d)
	if err != nil {
		return err
	}
	return session.Decode(bytes.NewReader(b), &d)
}

func descriptor(kind Kind, r *Record, p *doc.Part) session.Descriptor {
	target, boot := r.Spec.Target, r.Spec.Boot
	if boot != nil {
		b := *boot
		boot = &b
	}
	d := session.Descriptor{Session: r.ID, Action: kind.Traits().Action, Target: &target, Disk: p.Disk, Boot: boot}
	d.Job = r.Spec.Job
	kind.Tell(r, p, &d)
	return d
}

// Descriptor is what the node is told of the part that it works at, but for the version, its own name and the serial.
// Only a node that is Told has one.
func (st *State) Descriptor(node string) *session.Descriptor {
	s := st.Current(node)
	d := descriptor(s.Kind, &s.Record, s.Parts[node])
	return &d
}

// SameWork reports whether a node that has the one descriptor need not be given the other: it is the same part, by the
// same casts.
func SameWork(a, b *session.Descriptor) bool {
	if a == nil || a.Session != b.Session || a.Action != b.Action || a.Disks() != b.Disks() {
		return false
	}
	for i := range a.Disks() {
		if !sameCast(a.OfDisk(i).Cast, b.OfDisk(i).Cast) {
			return false
		}
	}
	return true
}

func sameCast(a, b *session.Cast) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.ID == b.ID && a.Group == b.Group && a.Feedback == b.Feedback && bytes.Equal(a.Sender, b.Sender)
}
