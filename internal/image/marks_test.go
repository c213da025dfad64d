package image_test

import (
	"errors"
	"os"
	"testing"
	"time"
)

// TestMarks: a store remembers what was found damaged as long as it is the same file and nobody found it sound, takes
// no frames of it, and so heals by the next capture.
func TestMarks(t *testing.T) {
	s, b := newStore(t), filled(1<<20, 1)
	take(t, s, "x", b)
	m := open(t, s, "x")
	blob, size := m.DataBlob(0)
	sound, err := os.ReadFile(blobFile(s, blob))
	if err != nil {
		t.Fatal(err)
	}
	mark := func(want int) {
		t.Helper()
		bad, err := s.MarkDamaged(t.Context(), m)
		if err != nil || len(bad) != want || len(s.Damaged()) != want || want == 1 && !s.Damaged()[blob] {
			t.Errorf("damaged %v, remembered %v, want %d, %v", bad, s.Damaged(), want, err)
		}
	}
	at := time.Unix(1e9, 0)
	write := func(b []byte) {
		t.Helper()
		at = at.Add(time.Second) // the clock of a file system may be too coarse to tell two writes
		err := os.WriteFile(blobFile(s, blob), b, 0o600)
		if err = errors.Join(err, os.Chtimes(blobFile(s, blob), at, at)); err != nil {
			t.Fatal(err)
		}
	}
	mark(0)
	write(make([]byte, size))
	mark(1)
	write(sound)
	if d := s.Damaged(); len(d) != 0 {
		t.Errorf("put back, and remembered: %v", d)
	}
	write(make([]byte, size))
	mark(1)
	s.Unmark(m)
	if d := s.Damaged(); len(d) != 0 {
		t.Errorf("found sound, and remembered: %v", d)
	}
	mark(1)
	if m.Replaced() {
		t.Error("nobody replaced the blob")
	}
	take(t, s, "y", b)
	if err := s.Verify(t.Context(), "x", nil); err != nil || len(s.Damaged()) != 0 || !m.Replaced() {
		t.Errorf("after another capture: %v, remembered %v, replaced %v", err, s.Damaged(), m.Replaced())
	}
}
