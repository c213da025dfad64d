// Package enginetest has stand-ins for what an engine works with: images without a store and casts without a network.
package enginetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
)

// Images has one image for every name: 1000 bytes, all blobs named after it.
type Images struct {
	mu      sync.Mutex
	damage  map[string]error
	checked []string // "manifest chunk", in the order of the checks
	more    chan struct{}
	open    map[string]int // objects, by manifest
}

var _ engine.Images = (*Images)(nil)

// Digest is the digest of a part ("manifest", "config", "index") of the image with the name.
func Digest(name, part string) string {
	h := fmt.Sprintf("%x", name+" "+part)
	return "sha256:" + strings.Repeat("0", 64-len(h)) + h
}

// Damage makes every check of the image fail.
func (i *Images) Damage(name string, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.damage == nil {
		i.damage = map[string]error{}
	}
	i.damage[Digest(name, "manifest")] = err
}

// Describe implements engine.Images. Names that begin with "no" are not there; "empty" has an object of no bytes.
func (i *Images) Describe(ref string) (session.Image, error) {
	if strings.HasPrefix(ref, "no") {
		return session.Image{}, fmt.Errorf("image %q: %w", ref, image.ErrNotFound)
	}
	size := int64(1000)
	if ref == "empty" {
		size = 0
	}
	manifest := Digest(ref, "manifest")
	if image.LooksLikeDigest(ref) { // one that is there without a name
		manifest = "sha256:" + (ref + strings.Repeat("0", 64))[:64]
	}
	return session.Image{Name: ref, Manifest: manifest,
		Config: session.Blob{Digest: Digest(ref, "config"), Size: 10},
		Index:  session.Blob{Digest: Digest(ref, "index"), Size: 10}, ObjectSize: size}, nil
}

// StartNotes implements engine.Images: "lonely" has no fallback.
func (i *Images) StartNotes(manifest string) []string {
	if manifest == Digest("lonely", "manifest") {
		return []string{"it has no fallback"}
	}
	return nil
}

// FirmwareWarning implements engine.Images: "lonely" is for UEFI only.
func (i *Images) FirmwareWarning(manifest, firmware string) string {
	if manifest == Digest("lonely", "manifest") && firmware == session.BIOS {
		return "the image starts by UEFI and this machine by BIOS"
	}
	return ""
}

// Misplaced implements engine.Images: "slice" is of a partition, all others are of a disk.
func (i *Images) Misplaced(manifest string, partition bool) string {
	if (manifest == Digest("slice", "manifest")) != partition {
		return "it is of the other kind"
	}
	return ""
}

// Fits implements engine.Images: "big" wants 2 GiB.
func (i *Images) Fits(manifest string, t engine.Room) error {
	if manifest == Digest("big", "manifest") && t.Size < 2<<30 {
		return fmt.Errorf("the target of %d bytes is too small", t.Size)
	}
	return nil
}

// Differs implements engine.Images: a tenth of every other image.
func (i *Images) Differs(manifest, other string) (int64, error) {
	if manifest == other {
		return 0, nil
	}
	return 100, nil
}

// TableID implements engine.Images: the manifest's digits.
func (i *Images) TableID(manifest string) string {
	return strings.TrimLeft(strings.TrimPrefix(manifest, "sha256:"), "0")
}

// Blobs implements engine.Images.
func (i *Images) Blobs(manifest string) ([]string, error) {
	for _, name := range []string{"debian", "ubuntu"} {
		if manifest == Digest(name, "manifest") {
			return []string{Digest(name, "config"), Digest(name, "index")}, nil
		}
	}
	return nil, image.ErrNotFound
}

type object struct {
	*bytes.Reader
	count func(int)
}

func (o object) Close() error {
	o.count(-1)
	return nil
}

// Object implements engine.Images.
func (i *Images) Object(manifest string) (engine.Object, error) {
	count := func(n int) {
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.open == nil {
			i.open = map[string]int{}
		}
		i.open[manifest] += n
	}
	count(1)
	return object{bytes.NewReader(make([]byte, 1000)), count}, nil
}

// Open is how many objects of the image with the name are open.
func (i *Images) Open(name string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.open[Digest(name, "manifest")]
}

// Check implements engine.Images.
func (i *Images) Check(ctx context.Context, manifest string, chunk int) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.checked = append(i.checked, fmt.Sprintf("%s %d", manifest, chunk))
	if i.more != nil {
		close(i.more)
		i.more = nil
	}
	return i.damage[manifest]
}

// Checks returns the first n checks when there are so many.
func (i *Images) Checks(ctx context.Context, n int) ([]string, error) {
	for {
		i.mu.Lock()
		got := append([]string(nil), i.checked...)
		if i.more == nil {
			i.more = make(chan struct{})
		}
		more := i.more
		i.mu.Unlock()
		if len(got) >= n {
			return got, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return got, ctx.Err()
		}
	}
}

// Casts keeps what was cast.
type Casts struct {
	mu      sync.Mutex
	Running map[uint32]session.Cast
	// Receivers are what the senders see.
	Receivers []doc.Receiver
	started   []session.Cast
	// Broken, if set, is asked before a cast is made.
	Broken func(session.Cast) error
	change chan struct{}
	groups byte
}

var _ engine.Casts = (*Casts)(nil)

// Group implements engine.Casts: 239.0.0.1:1001, 239.0.0.2:1002, ...
func (c *Casts) Group(context.Context) (netip.AddrPort, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.groups++
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{239, 0, 0, c.groups}), 1000+uint16(c.groups)), nil
}

// Sender implements engine.Casts.
func (c *Casts) Sender(secret []byte) ([]byte, error) { return bytes.Repeat(secret, 2), nil }

// New implements engine.Casts.
func (c *Casts) New(p session.Cast, src io.ReaderAt, o engine.CastOptions) (engine.Cast, error) {
	if c.Broken != nil {
		if err := c.Broken(p); err != nil {
			return nil, err
		}
	}
	return &cast{c: c, p: p}, nil
}

// Started returns the casts that were started, in order.
func (c *Casts) Started() []session.Cast {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]session.Cast(nil), c.started...)
}

// Wait returns when f is true of the running casts.
func (c *Casts) Wait(ctx context.Context, f func(running map[uint32]session.Cast) bool) error {
	for {
		c.mu.Lock()
		ok := f(c.Running)
		if c.change == nil {
			c.change = make(chan struct{})
		}
		change := c.change
		c.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *Casts) note(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.Running == nil {
		c.Running = map[uint32]session.Cast{}
	}
	f()
	if c.change != nil {
		close(c.change)
		c.change = nil
	}
}

type cast struct {
	c *Casts
	p session.Cast
}

func (x *cast) Run(ctx context.Context) error {
	x.c.note(func() {
		x.c.Running[x.p.ID] = x.p
		x.c.started = append(x.c.started, x.p)
	})
	<-ctx.Done()
	x.c.note(func() { delete(x.c.Running, x.p.ID) })
	return nil
}

func (x *cast) Stats() doc.CastStats {
	x.c.mu.Lock()
	defer x.c.mu.Unlock()
	return doc.CastStats{Sending: true, Sent: 1000, Receivers: x.c.Receivers}
}
