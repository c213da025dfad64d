package image

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/diskcast/diskcast/internal/private"
	"github.com/diskcast/diskcast/internal/regular"
	"github.com/diskcast/diskcast/internal/rx"
)

// Stage collects the frames of an image that is captured elsewhere and sent here: in any order, from several
// connections, and again after either side was killed. Each frame is decoded and hashed before it is kept. Its methods
// may be called from several goroutines.
type Stage struct {
	s     *Store
	b     *Builder // for what the store has, and to keep garbage collection away
	dir   string
	o     BuilderOptions
	limit int64

	mu    sync.Mutex
	held  map[frameKey]staged
	bytes int64
	dec   chan *stageDecoder
}

type staged struct {
	length int64
	crc    uint32
}

type stageDecoder struct {
	d   *Decoder
	buf []byte
}

var stageID = rx.New(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

func (s *Store) stageDir() string { return filepath.Join(s.privateDir(), "stage") }

// OpenStage opens the stage of the id, a name for this capture, or begins it. What an earlier process had taken in is
// there again. Finish or Close must be called.
func (s *Store) OpenStage(id string, o BuilderOptions) (*Stage, error) {
	if !stageID().MatchString(id) {
		return nil, fmt.Errorf("%q cannot name a capture", id)
	}
	b, err := s.NewBuilder(o)
	if err != nil {
		return nil, err
	}
	g := &Stage{s: s, b: b, dir: filepath.Join(s.stageDir(), id), o: o, held: map[frameKey]staged{},
		dec: make(chan *stageDecoder, 4)}
	// A disk that does not compress, and 1 MiB for frames that come twice.
	g.limit = maxStored(o.DiskSize) + 1<<20
	for range cap(g.dec) {
		g.dec <- &stageDecoder{}
	}
	if err := g.load(); err != nil {
		b.Abort()
		return nil, fmt.Errorf("capture %s: %w", id, err)
	}
	return g, nil
}

// load takes stock of the frames of an earlier process. A file's name says what must be in it.
func (g *Stage) load() error {
	if err := os.MkdirAll(g.dir, private.DirMode); err != nil {
		return err
	}
	list, err := os.ReadDir(g.dir)
	if err != nil {
		return err
	}
	for _, f := range list {
		k, crc, ok := parseStaged(f.Name())
		st, err := f.Info()
		if !ok || err != nil || !st.Mode().IsRegular() {
			_ = os.Remove(filepath.Join(g.dir, f.Name())) // not finished
			continue
		}
		g.held[k] = staged{length: st.Size(), crc: crc}
		g.bytes += st.Size()
	}
	return nil
}

func stagedName(k frameKey, crc uint32) string {
	return fmt.Sprintf("%x-%d-%08x", k.sum, k.size, crc)
}

func parseStaged(name string) (k frameKey, crc uint32, ok bool) {
	f := strings.Split(name, "-")
	if len(f) != 3 {
		return k, 0, false
	}
	sum, err1 := hex.DecodeString(f[0])
	size, err2 := strconv.ParseInt(f[1], 10, 64)
	c, err3 := strconv.ParseUint(f[2], 16, 32)
	if err1 != nil || err2 != nil || err3 != nil || len(sum) != 32 {
		return k, 0, false
	}
	return frameKey{[32]byte(sum), size}, uint32(c), true
}

// Has reports whether the frame need not be sent: the store has one of these bytes, or it was sent before.
func (g *Stage) Has(sum [32]byte, size int64) bool {
	if g.b.Has(sum, size) {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	_, ok := g.held[frameKey{sum, size}]
	return ok
}

// Put takes a frame. It is refused when it does not decode to size bytes with this sum.
func (g *Stage) Put(sum [32]byte, size int64, stored []byte) error {
	if g.Has(sum, size) {
		return nil
	}
	grid := g.b.index.Grid
	if size <= 0 || size > grid || int64(len(stored)) > maxStored(size) {
		return fmt.Errorf("frame: %w: %d bytes stored in %d, with a grid of %d", ErrFormat, size, len(stored), grid)
	}
	g.mu.Lock()
	full := g.bytes+int64(len(stored)) > g.limit
	if !full {
		g.bytes += int64(len(stored))
	}
	g.mu.Unlock()
	if full {
		return fmt.Errorf("frame: %w: the capture has more bytes than its disk", ErrFormat)
	}
	k := frameKey{sum, size}
	f := &Frame{Size: size, Length: int64(len(stored)), Sum: sum, CRC: Checksum(stored)}
	err := g.check(f, stored)
	if err == nil {
		err = g.write(k, f.CRC, stored)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, twice := g.held[k]; err != nil || twice {
		g.bytes -= int64(len(stored))
		return err
	}
	g.held[k] = staged{length: int64(len(stored)), crc: f.CRC}
	return nil
}

func (g *Stage) check(f *Frame, stored []byte) error {
	d := <-g.dec
	defer func() { g.dec <- d }()
	if d.d == nil {
		var err error
		if d.d, err = NewDecoder(); err != nil {
			return err
		}
	}
	d.buf = grow(d.buf, g.b.index.Grid+Slack)
	if _, err := d.d.Decode(f, stored, d.buf); err != nil {
		return fmt.Errorf("frame %x: %w: %w", f.Sum[:8], ErrFormat, err)
	}
	return nil
}

// write puts the frame under its name. It is not flushed: after a crash of the machine its CRC tells whether it is
// whole.
func (g *Stage) write(k frameKey, crc uint32, stored []byte) error {
	f, err := os.CreateTemp(g.dir, "part*")
	if err != nil {
		return g.unkept(err)
	}
	_, err = f.Write(stored)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(g.dir, stagedName(k, crc)))
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return g.unkept(err)
	}
	return nil
}

// unkept is the error for a frame that could not be written. It does not name the temporary file, so that one cause has
// the same words for all frames.
func (g *Stage) unkept(err error) error {
	if file := (*fs.PathError)(nil); errors.As(err, &file) {
		err = file.Err
	}
	return fmt.Errorf("keeping a frame in %s: %w", g.dir, err)
}

// MissingError lists frames that were never sent, or were lost.
type MissingError struct {
	Frames []int // numbers in the index that was given to Finish
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("%d frames of the capture are not here: send them", len(e.Frames))
}

// Finish makes the image. Of the frames of x only sum, size and order count: where they are stored is decided here.
// When frames are missing the error is a *MissingError, nothing was done, and Finish may be called again. After success
// the stage is gone.
func (g *Stage) Finish(ctx context.Context, x *Index, cfg *Config, name string, created time.Time,
	notes map[string]string) (digest string, err error) {
	if x.DiskSize != g.o.DiskSize || x.Grid != g.b.index.Grid {
		return "", fmt.Errorf("the capture was begun for a disk of %d bytes and a grid of %d, the index has %d and %d",
			g.o.DiskSize, g.b.index.Grid, x.DiskSize, x.Grid)
	}
	var missing MissingError
	for i := range x.Frames {
		if f := &x.Frames[i]; !g.Has(f.Sum, f.Size) {
			missing.Frames = append(missing.Frames, i)
		}
	}
	if len(missing.Frames) > 0 {
		return "", &missing
	}
	b, err := g.s.NewBuilder(g.o) // one of its own, so that a failure leaves the stage as it is
	if err != nil {
		return "", err
	}
	defer b.Abort()
	for i := range x.Chunks {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		c := &x.Chunks[i]
		data := ChunkData{Cell: c.Cell, Extents: c.Extents, Zeros: c.Zeros}
		if c.Frame >= 0 {
			f := &x.Frames[c.Frame]
			data.Sum = f.Sum
			if !b.Has(f.Sum, f.Size) {
				if data.Stored, err = g.read(frameKey{f.Sum, f.Size}); err != nil {
					return "", err
				}
				if data.Stored == nil {
					return "", &MissingError{Frames: []int{int(c.Frame)}}
				}
			}
		}
		if err := b.Add(data); err != nil {
			return "", err
		}
	}
	if digest, err = b.Commit(cfg, name, created, notes); err != nil {
		return "", err
	}
	return digest, g.Discard()
}

// read returns a staged frame, nil when it is not whole any more.
func (g *Stage) read(k frameKey) ([]byte, error) {
	g.mu.Lock()
	h, ok := g.held[k]
	g.mu.Unlock()
	if !ok {
		return nil, nil
	}
	path := filepath.Join(g.dir, stagedName(k, h.crc))
	b, err := regular.ReadFile(path)
	if err == nil && int64(len(b)) == h.length && Checksum(b) == h.crc {
		return b, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading a frame: %w", err)
	}
	_ = os.Remove(path)
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.held, k)
	g.bytes -= h.length
	return nil, nil
}

// ObjectSize is the length of the object of the image that Finish would make of x, as far as its frames are here.
func (g *Stage) ObjectSize(x *Index) int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	var n int64
	for i := range x.Frames {
		k := frameKey{x.Frames[i].Sum, x.Frames[i].Size}
		if p, ok := g.b.known[k]; ok {
			n += p.length
		} else {
			n += g.held[k].length
		}
	}
	return n
}

// Unlock lets garbage collection run while the stage is open. What it takes, of images that are removed meanwhile,
// Finish misses.
func (g *Stage) Unlock() { g.b.Abort() }

// Close ends the use of the stage and keeps what is in it for the next OpenStage.
func (g *Stage) Close() { g.b.Abort() }

// Discard ends the use of the stage and removes what is in it.
func (g *Stage) Discard() error {
	g.Close()
	if err := os.RemoveAll(g.dir); err != nil {
		return fmt.Errorf("removing the frames of a capture: %w", err)
	}
	return nil
}

// Stages lists the ids of the captures that are under way or were broken off.
func (s *Store) Stages() ([]string, error) {
	list, err := os.ReadDir(s.stageDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var out []string
	for _, e := range list {
		out = append(out, e.Name())
	}
	return out, err
}
