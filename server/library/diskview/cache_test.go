package diskview

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/diskcast/diskcast/internal/image"
)

// TestCacheReadsAsTheDisk reads here and there, several at once, through a cache that holds a part.
func TestCacheReadsAsTheDisk(t *testing.T) {
	im, want, _ := stored(t)
	d, err := New(im)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	const room = 1 << 20
	c := NewCache(d, room)
	var all sync.WaitGroup
	for seed := range uint64(4) {
		all.Go(func() {
			r := rand.New(rand.NewPCG(seed, 2))
			for range 300 {
				off := r.Int64N(diskSize)
				p := make([]byte, r.Int64N(1<<20))
				n, err := c.ReadAt(p, off)
				if n < len(p) && !(errors.Is(err, io.EOF) && off+int64(n) == diskSize) ||
					!bytes.Equal(p[:n], want[off:off+int64(n)]) {
					t.Errorf("seed %d: %d bytes at %d: read %d, %v", seed, len(p), off, n, err)
					return
				}
			}
		})
	}
	all.Wait()
	held := 0
	for e := c.last.Front(); e != nil; e = e.Next() {
		held += len(e.Value.(*cached).data)
	}
	if held > room || held == 0 || len(c.cells) != c.last.Len() {
		t.Errorf("it holds %d bytes in %d cells, and finds %d", held, c.last.Len(), len(c.cells))
	}
	for _, off := range []int64{-1, diskSize} {
		if n, err := c.ReadAt(make([]byte, 1), off); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("read at %d: %d bytes, %v", off, n, err)
		}
	}
}

// TestCacheKeepsNoDamage: what cannot be read is not there the next time either.
func TestCacheKeepsNoDamage(t *testing.T) {
	im, _, dir := stored(t)
	damageFirst(t, im, dir)
	d, err := New(im)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c := NewCache(d, diskSize)
	for range 2 {
		var damage *image.DamageError
		if _, err := c.ReadAt(make([]byte, diskSize), 0); !errors.As(err, &damage) {
			t.Errorf("read of a damaged image: %v", err)
		}
	}
}
