package access

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/store"
)

func TestLinks(t *testing.T) {
	b, err := New(t.Context(), store.NewMemory(), root)
	if err != nil {
		t.Fatal(err)
	}
	ada, err := b.Create(t.Context(), spec("ada", Viewer, 1))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	b.now = func() time.Time { return now }
	make := func() string {
		t.Helper()
		l, err := b.Link("ada", doc.LoginLinkSpec{V: 1, Minutes: 10})
		if err != nil {
			t.Fatal(err)
		}
		_, word, _ := strings.Cut(l.Path, "link=")
		return word
	}
	word := make()
	if _, good := b.Who(word); good {
		t.Error("a link is a token")
	}
	var used atomic.Int32
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if sum, ok := b.Use(word); ok {
				used.Add(1)
				if sum != SumOf(ada.Secret) {
					t.Error("it is for another token")
				}
			}
		})
	}
	if all.Wait(); used.Load() != 1 {
		t.Errorf("it was used %d times", used.Load())
	}
	for _, w := range []string{"", word + "x", ada.Secret} {
		if _, ok := b.Use(w); ok {
			t.Errorf("%q is a link", w)
		}
	}
	word = make()
	now = now.Add(10 * time.Minute)
	if _, ok := b.Use(word); ok {
		t.Error("it was used when its time was over")
	}
	word = make()
	for range maxLinks - 1 {
		make()
	}
	if _, err := b.Link("ada", doc.LoginLinkSpec{V: 1, Minutes: 10}); !errors.Is(err, ErrSpec) {
		t.Errorf("links without end: %v", err)
	}
	if err := b.Remove(t.Context(), "ada"); err != nil {
		t.Fatal(err)
	}
	if _, ok := b.Use(word); ok {
		t.Error("it was used when its token had ended")
	}
	for _, c := range []struct {
		name    string
		minutes int
		want    error
	}{{"ada", 10, store.ErrNotFound}, {Root, 10, store.ErrNotFound}, {"ada", 0, ErrSpec},
		{"ada", MaxMinutes + 1, ErrSpec}} {
		if _, err := b.Link(c.name, doc.LoginLinkSpec{V: 1, Minutes: c.minutes}); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
