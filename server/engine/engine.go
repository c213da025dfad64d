// Package engine is the server's mind: which nodes there are, which sessions, and what each node is to do next.
//
// All of it lives in memory behind one lock and is written through to the store: a change is shown to a node only
// after it is durable, so that a server that is killed comes back to the sessions that its nodes know. Changes of
// many nodes share a transaction (writer).
//
// A session waits for its nodes, casts, and ends when every node of it is done or has failed. A node is told its part
// by a descriptor, which it long-polls for; what it reports moves its part on. The engine knows images and casts only
// as the interfaces Images and Casts.
package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/diskcast/diskcast/internal/receipt"
	"github.com/diskcast/diskcast/internal/sealed"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/feed"
	"github.com/diskcast/diskcast/server/fleet"
	"github.com/diskcast/diskcast/server/fleet/book"
	"github.com/diskcast/diskcast/server/jobs"
	"github.com/diskcast/diskcast/server/jobs/kinds"
	"github.com/diskcast/diskcast/server/store"
	"github.com/diskcast/diskcast/server/store/keeper"
	"github.com/diskcast/diskcast/server/store/record"
)

// Images is what the engine needs of the image store.
type Images interface {
	// Describe finds an image by name or digest.
	Describe(ref string) (session.Image, error)
	// Blobs lists the digests of all blobs of the image with the manifest.
	Blobs(manifest string) ([]string, error)
	// Object opens the object of the image with the manifest.
	Object(manifest string) (Object, error)
	// StartNotes are what the operator should know of how a disk with the image starts, and of what an image from an
	// older version lacks.
	StartNotes(manifest string) []string
	// FirmwareWarning says why a machine with the firmware (session.BIOS or UEFI) will not start a disk with the image;
	// empty when it may.
	FirmwareWarning(manifest, firmware string) string
	// Misplaced says why the image cannot go over a disk, or, with partition, into one partition; empty when it can.
	Misplaced(manifest string, partition bool) string
	// Fits says why the image cannot go to a target; nil when it can.
	Fits(manifest string, t Room) error
	// Differs is how many bytes of the image's object a disk with another image lacks.
	Differs(manifest, other string) (int64, error)
	// TableID is the id of the partition table of the disk that the image is of; empty if it has none.
	TableID(manifest string) string
	// Check reads the stored bytes of the chunk and hashes them; chunk -1 means all chunks. Damage is an error that
	// names image, chunk and offset.
	Check(ctx context.Context, manifest string, chunk int) error
}

// Room is where an image is to go: a disk, or one partition.
type Room struct {
	Size   int64 // bytes
	Sector int   // bytes
	Number int   // of the partition; 0: the disk
	Start  int64 // of the partition, in bytes
	Grow   bool  // the last partition gets what is left
}

// Object is an image's object.
type Object interface {
	io.ReaderAt
	io.Closer
}

// Casts makes casts.
type Casts interface {
	// Group returns a group address and port that nobody on the LAN is heard to use.
	Group(ctx context.Context) (netip.AddrPort, error)
	// Sender returns the public keys, for session.Cast, of the sender that has a secret of 32 bytes.
	Sender(secret []byte) ([]byte, error)
	New(c session.Cast, src io.ReaderAt, o CastOptions) (Cast, error)
}

// Captures is where captures on their way are kept.
type Captures interface {
	// End throws away what has come of an upload, if there is anything.
	End(upload string)
	// Room is how many bytes are free where they are kept.
	Room() (int64, error)
}

// CastOptions are the settings of a cast.
type CastOptions struct {
	Rate   int64  // bits a second, 0: rate control
	Secret []byte // of session.Cast's Sender
	// OnReadError is told of object bytes that cannot be read.
	OnReadError func(off, n int64, err error)
	Log         *slog.Logger
}

// Cast is a running cast.
type Cast interface {
	// Run casts until ctx ends, which is not an error.
	Run(ctx context.Context) error
	Stats() doc.CastStats
}

// Errors that callers tell apart.
var (
	ErrNotFound = errors.New("not found")
	ErrSpec     = errors.New("refused") // what was asked for cannot be; the error's own words say why
	ErrToken    = errors.New("token is not valid for this boot of the node: say hello again")
)

// refusal is an ErrSpec that says why.
type refusal struct{ err error }

func refuse(format string, args ...any) error { return &refusal{fmt.Errorf(format, args...)} }

func (r *refusal) Error() string        { return r.err.Error() }
func (r *refusal) Unwrap() error        { return r.err }
func (r *refusal) Is(target error) bool { return target == ErrSpec }

// Config is what an Engine works with.
type Config struct {
	Store  store.Store
	Images Images
	Casts  Casts
	// Captures keeps what nodes send of their disks; nil: there are no capture sessions.
	Captures Captures
	// Server is what operators call this server: the owner of the sessions that it runs. Empty: its address.
	Server string
	// Seal keeps personalizations secret in the store; nil: there are none.
	Seal *sealed.Key
	// Power switches machines for sessions; nil: no session does.
	Power Power
	// Hooks runs the owner's commands before and after sessions; nil: there are none.
	Hooks Hooks
	// Sign puts a receipt into an envelope, by the server's key; nil: there are no receipts.
	Sign func(*receipt.Receipt) (*receipt.Envelope, error)
	// Words tells what happens to those who asked for it; nil: nobody did.
	Words Words
	// Addr is the address at which nodes reach casts' feedback.
	Addr netip.Addr
	// Dynamic reports whether an address is one that this server's DHCP may give to any machine; nil: none is.
	Dynamic func(netip.Addr) bool
	// Version is that of the program, for receipts.
	Version string
	Log     *slog.Logger
	Now     func() time.Time // nil: time.Now
	// Up is a clock that only goes on, by which it is seen that Now was set; nil: none, or that of time.Now.
	Up   func() time.Duration
	Tick <-chan time.Time // nil: every second; tests turn time on by hand
	// Kinds are the kinds of session; nil: all.
	Kinds jobs.Kinds
	// Zone is the one that rules of repeating sessions are in; nil: the machine's.
	Zone *time.Location
	// MaxCasts bounds the casts at once; 0: any number.
	MaxCasts int
	// Prober sends what nodes that look for multicast are to hear; nil: nobody does.
	Prober Prober
	// Tests says which file a test of memory is, and whether it is there; nil: there is none.
	Tests func(uefi bool) (file string, has bool)
	// Approve is which machines sessions may take: doc.ApproveAll, which empty means, ApproveRules or ApproveHand.
	Approve string
}

// Engine is the state of all nodes and sessions. It is a task.
type Engine struct {
	cfg    Config
	log    *slog.Logger
	now    func() time.Time
	w      *keeper.Keeper
	kinds  jobs.Kinds
	secret []byte
	ready  chan struct{}
	every  atomic.Int64 // ReportEvery

	mu       sync.Mutex
	nodes    map[string]*node
	byMAC    map[string]string     // MAC with colons -> node
	byAddr   map[netip.Addr]string // last known address -> MAC
	jobs     *jobs.State
	inputs   []jobs.Input        // of jobs, that are being worked off
	news     map[string]*node    // that jobs is not told of yet
	runs     map[string]*running // by session
	seq      uint64              // number of the last session
	feed     *feed.Feed
	quiet    map[string]bool // nodes that were told to be silent
	long     Background      // nil: none
	checks   map[string]*check
	reserved map[netip.Addr]bool // groups of sessions that are being made
	began    time.Time           // when this engine was made: nobody was heard before
	crowd    crowd
	fleet    *fleet.Fleet
	book     *book.Book
	expired  time.Time // when strangers were last looked through
	clock    *clock
	paces    map[string]*pace // by session and node
	told     told
	waiters  []string // nodes that the next ticks look at
	looks    map[string]*asked
	said     map[string]bool // sessions, and session/node of parts, that are over and were told as such
	repeats  map[string]*repeat
	halves   map[string]*record.Half // by node
	// repeatSeq is the number of the last repeating session.
	repeatSeq uint64
	activity  chan struct{} // closed and replaced when a session changes

	// casting
	runCtx  context.Context // set while Run runs
	casts   sync.WaitGroup
	opening chan struct{} // of one: who opens what is personalized holds it
}

// New loads what the store holds.
func New(ctx context.Context, cfg Config) (*Engine, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		start := time.Now()
		cfg.Now, cfg.Up = time.Now, func() time.Duration { return time.Since(start) }
	}
	wall := cfg.Now
	cfg.Now = func() time.Time { return wall().Round(0) } // without a monotonic reading, which moves with no clock
	if cfg.Kinds == nil {
		cfg.Kinds = kinds.All()
	}
	if cfg.Approve == "" {
		cfg.Approve = doc.ApproveAll
	}
	if cfg.Server == "" {
		cfg.Server = cfg.Addr.String()
	}
	clock := newClock(cfg.Now, cfg.Up)
	e := &Engine{cfg: cfg, log: cfg.Log, now: clock.now, ready: make(chan struct{}),
		nodes: map[string]*node{}, byMAC: map[string]string{}, byAddr: map[netip.Addr]string{}, kinds: cfg.Kinds,
		jobs: jobs.New(cfg.Kinds, cfg.Now()),
		news: map[string]*node{}, runs: map[string]*running{},
		clock: clock, paces: map[string]*pace{}, looks: map[string]*asked{}, said: map[string]bool{},
		feed: feed.New(rand.Text()), quiet: map[string]bool{}, repeats: map[string]*repeat{},
		halves:   map[string]*record.Half{},
		checks:   map[string]*check{},
		reserved: map[netip.Addr]bool{}, began: cfg.Now(), crowd: newCrowd(), activity: make(chan struct{}),
		opening: make(chan struct{}, 1)}
	e.jobs.Bound(cfg.MaxCasts)
	var stored func()
	if cfg.Words != nil {
		stored = cfg.Words.Stored
	}
	e.w = keeper.New(cfg.Store, cfg.Log, clock.now, &e.mu, stored)
	if err := e.load(ctx); err != nil {
		return nil, fmt.Errorf("load state: %w", err)
	}
	return e, nil
}

// Name implements task.Task.
func (e *Engine) Name() string { return "engine" }

// Ready implements task.Task.
func (e *Engine) Ready() <-chan struct{} { return e.ready }

// Run implements task.Task: it resumes the sessions that were casting, writes state, and keeps time.
func (e *Engine) Run(ctx context.Context) error {
	writing := make(chan struct{})
	// Ends with the context of its own below, after a last write.
	wctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(writing)
		e.w.Run(wctx)
	}()
	e.mu.Lock()
	e.runCtx = ctx
	starts := map[string]map[string]string{}
	for _, id := range e.jobs.Order() {
		if s := e.jobs.Session(id); !s.Over() && s.Kind.Traits().Cast {
			starts[id] = e.starts(s.Image.Manifest)
		}
	}
	e.step(jobs.Resumed{Starts: starts})
	e.resumeRepeats()
	e.mu.Unlock()
	close(e.ready)

	tick := e.cfg.Tick
	if tick == nil {
		t := time.NewTicker(time.Second)
		defer t.Stop()
		tick = t.C
	}
	var failure error
run:
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-e.w.Lost():
			failure = errors.New("another server has taken over the sessions of this state: this one stops, so that " +
				"two do not run them; end the other one before this one is started again")
			break run
		case <-tick:
			e.tick()
		}
	}
	e.mu.Lock()
	e.runCtx = nil // no cast starts any more
	for id := range e.runs {
		e.letGo(id)
	}
	e.mu.Unlock()
	e.casts.Wait()
	stop()
	<-writing
	return failure
}

// tick does what is due by time.
func (e *Engine) tick() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.watchClock()
	e.expire()
	e.tellSilent()
	e.countReports()
	e.leaveSessions(context.Background()) // what a machine is plugged into is no change that somebody makes
	e.step(jobs.Tick{State: jobs.Trouble(e.w.Trouble())})
	e.repeatAll()
	e.tellAllWaiting()
	for id, r := range e.runs {
		if s := e.jobs.Session(id); len(r.casts) > 0 && s != nil && !s.Over() {
			e.touchSession(s)
		}
	}
}

func newSecret() []byte {
	b := make([]byte, 32)
	rand.Read(b) // never fails: it ends the program instead
	return b
}
