package record

import (
	"encoding/json"
	"net/netip"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// Session is a session without its parts.
type Session struct {
	ID      string    `json:"id"`
	Owner   string    `json:"owner,omitempty"` // the server that runs it, or did when it ended
	Spec    Spec      `json:"spec"`
	Image   Image     `json:"image"`
	State   string    `json:"state"`
	Reason  string    `json:"reason,omitempty"`
	Created time.Time `json:"created"`
	Started time.Time `json:"started,omitzero"`
	Ended   time.Time `json:"ended,omitzero"`
	Go      bool      `json:"go,omitempty"`
	Notes   []string  `json:"notes,omitempty"`
	Hooks   []Hook    `json:"hooks,omitempty"`
	Figures *Figures  `json:"cast,omitempty"`   // of a cast that ended
	Params  *Cast     `json:"params,omitempty"` // nil when nothing is cast
	Secret  []byte    `json:"secret,omitempty"` // of the cast's sender; nodes never get it
	Sealed  []byte    `json:"sealed,omitempty"` // personalization, by the server's key; none when the session is over
	Upload  *Upload   `json:"upload,omitempty"` // of a capture
	Asked   string    `json:"asked,omitempty"`  // the word under which it was asked for
	Alike   []string  `json:"alike,omitempty"`  // which addresses and hostnames of it others had when it was made
	// MoreDisks are what goes to further disks, and More how each is cast.
	MoreDisks []SessionDisk `json:"more_disks,omitempty"`
	More      []Sending     `json:"more,omitempty"`
}

// SessionDisk is what goes to a further disk of each machine.
type SessionDisk struct {
	Image   Image    `json:"image"`
	Figures *Figures `json:"cast,omitempty"` // of a cast that ended
}

// Sending is what is cast to a further disk: Params is nil where nothing is.
type Sending struct {
	Params *Cast  `json:"params,omitempty"`
	Secret []byte `json:"secret,omitempty"`
}

// DiskImage is an image by name, and the disk that it goes to.
type DiskImage struct {
	Image  string `json:"image"`
	Target Target `json:"target"`
}

// Hook is a hook that runs, or ran, for a session.
type Hook struct {
	When   string    `json:"when"`
	Name   string    `json:"name"`
	State  string    `json:"state"`
	Asked  int       `json:"asked"`
	Since  time.Time `json:"since"`
	Time   time.Time `json:"time,omitzero"`
	Words  string    `json:"words,omitempty"`
	Output string    `json:"output,omitempty"`
}

// Spec is what the operator asked for.
type Spec struct {
	V           int             `json:"v"`
	Image       string          `json:"image,omitempty"`
	Capture     string          `json:"capture,omitempty"`
	Level       string          `json:"level,omitempty"`
	Parent      string          `json:"parent,omitempty"`
	DropGaps    bool            `json:"drop_gaps,omitempty"`
	Kind        string          `json:"kind,omitempty"`
	Job         json.RawMessage `json:"job,omitempty"` // the kind's own
	All         bool            `json:"all,omitempty"`
	Count       int             `json:"count,omitempty"`
	Nodes       []string        `json:"nodes,omitempty"`
	MinNodes    int             `json:"min_nodes,omitempty"`
	MaxWait     float64         `json:"max_wait,omitempty"` // seconds
	GiveUp      float64         `json:"give_up,omitempty"`  // seconds
	Target      Target          `json:"target"`
	MoreDisks   []DiskImage     `json:"more_disks,omitempty"`
	Mode        string          `json:"mode,omitempty"`
	Verify      bool            `json:"verify,omitempty"`
	NoGrow      bool            `json:"no_grow,omitempty"`
	Boot        *Boot           `json:"boot,omitempty"`
	Rate        int64           `json:"rate,omitempty"` // bits a second
	At          time.Time       `json:"at,omitzero"`
	ExpectAlive float64         `json:"expect_alive,omitempty"` // seconds
	Priority    int             `json:"priority,omitempty"`
	Notes       string          `json:"notes,omitempty"`
	RetryOf     string          `json:"retry_of,omitempty"`

	Power          string `json:"power,omitempty"`
	PowerOffFailed bool   `json:"power_off_failed,omitempty"`
	Before         string `json:"before,omitempty"`
	After          string `json:"after,omitempty"`
	Repeat         string `json:"repeat,omitempty"`
	Menu           string `json:"menu,omitempty"`
	Within         string `json:"within,omitempty"`

	On              string `json:"on,omitempty"` // the selector that Nodes came of
	Profile         string `json:"profile,omitempty"`
	ProfileRevision uint64 `json:"profile_revision,omitempty"`
	// Personalize is what is shown of it.
	Personalize json.RawMessage `json:"personalize,omitempty"`
}

// Target is a rule for a disk.
type Target struct {
	Path     string `json:"path,omitempty"`
	ByPath   string `json:"by_path,omitempty"`
	Serial   string `json:"serial,omitempty"`
	WWN      string `json:"wwn,omitempty"`
	Model    string `json:"model,omitempty"`
	Type     string `json:"type,omitempty"`
	MinSize  int64  `json:"min_size,omitempty"` // bytes
	MaxSize  int64  `json:"max_size,omitempty"` // bytes
	Smallest bool   `json:"smallest,omitempty"`
	Largest  bool   `json:"largest,omitempty"`
	First    bool   `json:"first,omitempty"`
	HCTL     string `json:"hctl,omitempty"`
}

// Boot is how nodes leave.
type Boot struct {
	Method string          `json:"method"`
	Append string          `json:"append,omitempty"`
	Shell  json.RawMessage `json:"shell,omitempty"`
}

// Image names an image and its blobs.
type Image struct {
	Name       string `json:"name"`
	Manifest   string `json:"manifest"`
	Config     Blob   `json:"config"`
	Index      Blob   `json:"index"`
	ObjectSize int64  `json:"object_size"` // bytes
}

// Blob is a blob of the image store.
type Blob struct {
	Digest string `json:"digest"`
	Size   int64  `json:"size"` // bytes
}

// Cast is what a cast's sender and receivers go by.
type Cast struct {
	ID       uint32         `json:"id"`
	Group    netip.AddrPort `json:"group"`
	Feedback netip.AddrPort `json:"feedback"`
	Key      []byte         `json:"key"`
	Sender   []byte         `json:"sender"`
	Size     int64          `json:"size"`    // bytes
	Payload  int            `json:"payload"` // bytes
	K        int            `json:"k"`
}

// Upload is a disk on its way to the server.
type Upload struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Level    string `json:"level"`
	Grid     int64  `json:"grid"` // bytes
	DropGaps bool   `json:"drop_gaps,omitempty"`
}

// Figures are what a cast came to.
type Figures struct {
	ID       uint32 `json:"id"`
	Group    string `json:"group"`
	Feedback string `json:"feedback"`
	Stats    Stats  `json:"stats"`
}

// Stats is the account of a sender: bytes, and bits a second.
type Stats struct {
	Sending   bool       `json:"sending"`
	Sent      int64      `json:"sent"`
	Repair    int64      `json:"repair"`
	Wire      int64      `json:"wire"`
	Pending   int64      `json:"pending"`
	Rate      float64    `json:"rate"`
	Receivers []Receiver `json:"receivers,omitempty"`
	Rejected  int64      `json:"rejected"`
	Warning   string     `json:"warning,omitempty"`
}

// Receiver is one receiver of a cast.
type Receiver struct {
	Node    string  `json:"node"`
	Addr    string  `json:"addr,omitempty"`
	State   string  `json:"state"`
	Need    int64   `json:"need"` // bytes
	Loss    float64 `json:"loss"`
	Rate    float64 `json:"rate"` // bits a second
	Warning string  `json:"warning,omitempty"`
}

// OfSession is the record of a session, with what nobody is shown.
func OfSession(s *doc.Session, params *session.Cast, secret, sealed []byte, up *session.Upload) *Session {
	return &Session{ID: s.ID, Owner: s.Owner, Spec: ofSpec(s.Spec), Image: ofImage(s.Image), State: s.State,
		Reason: s.Reason, Created: s.Created,
		Started: s.Started, Ended: s.Ended, Go: s.Go, Notes: s.Notes,
		Hooks: each(s.Hooks, func(h doc.HookRun) Hook { return Hook(h) }), Figures: to(s.Cast, ofFigures),
		Secret: secret, Sealed: sealed, MoreDisks: each(s.MoreDisks, ofSessionDisk),
		Params: to(params, func(c session.Cast) Cast { return Cast(c) }),
		Upload: to(up, func(u session.Upload) Upload { return Upload(u) })}
}

// Session is the session that the record is of.
func (r *Session) Session() doc.Session {
	return doc.Session{ID: r.ID, Owner: r.Owner, Spec: r.Spec.spec(), Image: r.Image.image(), State: r.State,
		Reason: r.Reason, Created: r.Created,
		Started: r.Started, Ended: r.Ended, Go: r.Go, Notes: r.Notes,
		Hooks: each(r.Hooks, func(h Hook) doc.HookRun { return doc.HookRun(h) }), Cast: to(r.Figures, Figures.figures),
		MoreDisks: each(r.MoreDisks, SessionDisk.disk)}
}

func ofSessionDisk(d doc.SessionDisk) SessionDisk {
	return SessionDisk{ofImage(d.Image), to(d.Cast, ofFigures)}
}

func (d SessionDisk) disk() doc.SessionDisk {
	return doc.SessionDisk{Image: d.Image.image(), Cast: to(d.Figures, Figures.figures)}
}
func ofDiskImage(d doc.DiskImage) DiskImage {
	return DiskImage{d.Image, Target(d.Target)}
}
func (d DiskImage) diskImage() doc.DiskImage {
	return doc.DiskImage{Image: d.Image, Target: session.Target(d.Target)}
}

// OfSending is the record of what is cast to a further disk.
func OfSending(params *session.Cast, secret []byte) Sending {
	return Sending{to(params, func(c session.Cast) Cast { return Cast(c) }), secret}
}

// Cast is what is cast with, nil where nothing is.
func (r *Sending) Cast() *session.Cast {
	return to(r.Params, func(c Cast) session.Cast { return session.Cast(c) })
}

// Cast is what the session casts with, nil when it does not.
func (r *Session) Cast() *session.Cast {
	return to(r.Params, func(c Cast) session.Cast { return session.Cast(c) })
}

// Uploads is the upload of a capture, nil for another session.
func (r *Session) Uploads() *session.Upload {
	return to(r.Upload, func(u Upload) session.Upload { return session.Upload(u) })
}

func ofSpec(s doc.Spec) Spec {
	return Spec{V: s.V, Image: s.Image, Capture: s.Capture, Level: s.Level, Parent: s.Parent, DropGaps: s.DropGaps,
		Kind: s.Kind, Job: s.Job, All: s.All, Count: s.Count, Nodes: s.Nodes, MinNodes: s.MinNodes, MaxWait: s.MaxWait,
		GiveUp: s.GiveUp, Target: Target(s.Target), MoreDisks: each(s.MoreDisks, ofDiskImage), Mode: s.Mode,
		Verify: s.Verify,
		NoGrow: s.NoGrow, Boot: to(s.Boot, ofBoot), Rate: s.Rate,
		At: s.At, ExpectAlive: s.ExpectAlive, Priority: s.Priority, Notes: s.Notes, RetryOf: s.RetryOf,
		Power: s.Power, PowerOffFailed: s.PowerOffFailed, Before: s.Before, After: s.After,
		Repeat: s.Repeat, Menu: s.Menu, Within: s.Within,
		On: s.On, Profile: s.Profile, ProfileRevision: s.ProfileRevision, Personalize: s.Personalize}
}

func (s Spec) spec() doc.Spec {
	return doc.Spec{V: s.V, Image: s.Image, Capture: s.Capture, Level: s.Level, Parent: s.Parent,
		DropGaps: s.DropGaps,
		Kind:     s.Kind, Job: s.Job, All: s.All, Count: s.Count, Nodes: s.Nodes, MinNodes: s.MinNodes,
		MaxWait: s.MaxWait, GiveUp: s.GiveUp, Target: session.Target(s.Target), MoreDisks: each(s.MoreDisks,
			DiskImage.diskImage), Mode: s.Mode, Verify: s.Verify,
		NoGrow: s.NoGrow, Boot: to(s.Boot, Boot.boot), Rate: s.Rate,
		At: s.At, ExpectAlive: s.ExpectAlive, Priority: s.Priority, Notes: s.Notes, RetryOf: s.RetryOf,
		Power: s.Power, PowerOffFailed: s.PowerOffFailed, Before: s.Before, After: s.After,
		Repeat: s.Repeat, Menu: s.Menu, Within: s.Within,
		On: s.On, Profile: s.Profile, ProfileRevision: s.ProfileRevision, Personalize: s.Personalize}
}

func ofBoot(b session.Boot) Boot  { return Boot(b) }
func (b Boot) boot() session.Boot { return session.Boot(b) }
func ofBlob(b session.Blob) Blob  { return Blob(b) }
func (b Blob) blob() session.Blob { return session.Blob(b) }
func ofImage(i session.Image) Image {
	return Image{i.Name, i.Manifest, ofBlob(i.Config), ofBlob(i.Index), i.ObjectSize}
}

func (i Image) image() session.Image {
	return session.Image{Name: i.Name, Manifest: i.Manifest, Config: i.Config.blob(), Index: i.Index.blob(),
		ObjectSize: i.ObjectSize}
}

func ofFigures(c doc.Cast) Figures {
	s := c.Stats
	return Figures{ID: c.ID, Group: c.Group, Feedback: c.Feedback, Stats: Stats{Sending: s.Sending, Sent: s.Sent,
		Repair: s.Repair, Wire: s.Wire, Pending: s.Pending, Rate: s.Rate, Rejected: s.Rejected, Warning: s.Warning,
		Receivers: each(s.Receivers, func(r doc.Receiver) Receiver { return Receiver(r) })}}
}

func (f Figures) figures() doc.Cast {
	s := f.Stats
	return doc.Cast{ID: f.ID, Group: f.Group, Feedback: f.Feedback,
		Stats: doc.CastStats{Sending: s.Sending, Sent: s.Sent,
			Repair: s.Repair, Wire: s.Wire, Pending: s.Pending, Rate: s.Rate, Rejected: s.Rejected, Warning: s.Warning,
			Receivers: each(s.Receivers, func(r Receiver) doc.Receiver { return doc.Receiver(r) })}}
}
