package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// Verify reads every blob of the image. Each frame must have its checksum, decode to its size and have its BLAKE3 sum,
// and each blob must have its SHA-256, so that no flipped byte goes unseen, not even one of which the image has no
// need. Damage is reported as a *DamageError: that of the frame that comes first in the object, before that of a blob
// as a whole.
func (m *Image) Verify(ctx context.Context, progress Progress) error {
	total := m.ObjectSize()
	for _, d := range m.manifest.Layers[1:] {
		total += d.Size
	}
	var mu sync.Mutex
	var done int64
	count := func(n int64) {
		if progress == nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		done += n
		progress(done, total)
	}
	// A blob is hashed by one core: the others decode frames meanwhile. What frames say is told first.
	blobs, cancel := context.WithCancel(ctx)
	defer cancel()
	g, gctx := errgroup.WithContext(blobs)
	g.SetLimit(runtime.GOMAXPROCS(0))
	hashed := make(chan error, 1)
	go func() {
		for i := range m.blobs {
			g.Go(func() error { return m.verifyBlob(gctx, i, count) })
		}
		hashed <- g.Wait()
	}()
	err := m.verifyFrames(ctx, count)
	if err != nil {
		cancel()
	}
	if blobErr := <-hashed; err == nil {
		err = blobErr
	}
	return err
}

// Verify opens the image and verifies it, as Open and Image.Verify do one after the other. It makes no chunks of the
// index, of which a large disk has millions, unless there is damage: that is told by the chunk.
func (s *Store) Verify(ctx context.Context, ref string, progress Progress) error {
	err := s.verify(ctx, ref, progress, false)
	var damage *DamageError
	if !errors.As(err, &damage) {
		return err
	}
	if again := s.verify(ctx, ref, progress, true); again != nil {
		return again
	}
	return err // what was damaged once is not sound
}

func (s *Store) verify(ctx context.Context, ref string, progress Progress, keep bool) error {
	m, err := s.open(ref, keep)
	if err != nil {
		return err
	}
	defer m.Close()
	return m.Verify(ctx, progress)
}

func (m *Image) verifyFrames(ctx context.Context, count func(int64)) error {
	var next atomic.Int64
	var mu sync.Mutex
	worst := len(m.index.Frames) // the first damaged frame
	var damage error
	g, ctx := errgroup.WithContext(ctx)
	for range min(runtime.GOMAXPROCS(0), len(m.index.Frames)) {
		g.Go(func() error {
			d, err := NewDecoder()
			if err != nil {
				return err
			}
			defer d.Close()
			var in, out []byte
			for {
				i := int(next.Add(1)) - 1
				mu.Lock()
				stop := i >= worst // workers take frames in order, so whatever is before the first damage is looked at
				mu.Unlock()
				if stop || ctx.Err() != nil {
					return ctx.Err()
				}
				f := &m.index.Frames[i]
				in, out = grow(in, f.Length), grow(out, f.Size+Slack)
				if _, err = m.Object().ReadAt(in, f.Object); err == nil {
					_, err = d.Decode(f, in, out)
				}
				if err != nil {
					mu.Lock()
					if i < worst {
						worst, damage = i, m.Damage(i, err.Error())
					}
					mu.Unlock()
				}
				count(f.Length)
			}
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return damage
}

// DamagedBlobs reads the data blobs of the image and returns the digests of those whose bytes are not what their names
// say.
func (m *Image) DamagedBlobs(ctx context.Context) ([]string, error) {
	var bad []string
	for i, d := range m.manifest.Layers[1:] {
		err := m.verifyBlob(ctx, i, func(int64) {})
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil: // one that cannot be read is of no more use
			bad = append(bad, string(d.Digest))
		}
	}
	return bad, nil
}

// grow returns a slice of n bytes, b itself where that is large enough.
func grow(b []byte, n int64) []byte {
	if int64(cap(b)) < n {
		return make([]byte, n)
	}
	return b[:n]
}

func (m *Image) verifyBlob(ctx context.Context, i int, count func(int64)) error {
	d := m.manifest.Layers[1+i]
	h := sha256.New()
	buf := make([]byte, 1<<20)
	for off := int64(0); off < d.Size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := m.blobs[i].ReadAt(buf[:min(int64(len(buf)), d.Size-off)], off)
		h.Write(buf[:n])
		off += int64(n)
		count(int64(n))
		if n == 0 && err != nil {
			if err == io.EOF {
				return m.cut(i, off)
			}
			return fmt.Errorf("image %s: blob %s at %d: %w", m.name, d.Digest, off, err)
		}
	}
	if got := "sha256:" + hex.EncodeToString(h.Sum(nil)); got != string(d.Digest) {
		return &DamageError{Image: m.name, Chunk: -1, Blob: string(d.Digest), Length: d.Size,
			Reason: "its SHA-256 is not its name; the frames of this image in it are sound"}
	}
	return nil
}
