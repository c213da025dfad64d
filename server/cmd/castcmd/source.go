package castcmd

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"syscall"

	"github.com/diskcast/diskcast/internal/cast"
)

// source is what is sent.
type source struct {
	cast.Source
	name  string
	size  int64
	close func()
	file  *os.File // nil: standard input
	spool *spool   // of standard input
	was   *facts   // of a regular file, as it was opened
}

// facts are what tells that a regular file was written to.
type facts struct {
	size, mtime, ctime int64
	links              uint64
}

func factsOf(f *os.File) (*facts, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	u, ok := st.Sys().(*syscall.Stat_t)
	if !ok || !st.Mode().IsRegular() {
		return nil, nil
	}
	return &facts{u.Size, u.Mtim.Nano(), u.Ctim.Nano(), uint64(u.Nlink)}, nil
}

// openSource opens what is to be sent.
func openSource(ctx context.Context, f sendFlags, name string, stdin io.Reader) (*source, error) {
	if name == "-" {
		sp, err := newSpool(f.spool, f.size, stdin)
		if err != nil {
			return nil, err
		}
		size, err := sp.size(ctx)
		if err != nil {
			sp.close()
			return nil, err
		}
		return &source{Source: sp, name: "standard input", size: size, close: sp.close, spool: sp}, nil
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	was, err := factsOf(file)
	if err != nil {
		file.Close()
		return nil, err
	}
	// Devices have no size in their inode, but they have an end.
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil || size == math.MaxInt64 {
		file.Close()
		return nil, fmt.Errorf("%s has no size that can be told: pipe it in, as `diskcast cast send - <%s`", name, name)
	}
	s := &source{Source: file, name: name, size: size, close: func() { file.Close() }, file: file, was: was}
	if err := s.sound(); err != nil {
		file.Close()
		return nil, err
	}
	return s, nil
}

// ReadAt implements cast.Source. What it returned without an error was read before anything changed.
func (s *source) ReadAt(p []byte, off int64) (int, error) {
	n, err := s.Source.ReadAt(p, off)
	if changed := s.sound(); changed != nil {
		return 0, changed
	}
	return n, err
}

// sound says whether the source still is what it was when it was opened, as far as can be told.
func (s *source) sound() error {
	if s.spool != nil {
		return s.spool.fault()
	}
	if s.was == nil {
		return nil
	}
	is, err := factsOf(s.file)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", s.name, err)
	case is.size != s.size:
		return fmt.Errorf("%s changed while it was sent, from %d to %d bytes: send it again when nobody writes to it",
			s.name, s.size, is.size)
	case is.mtime != s.was.mtime:
		return fmt.Errorf("%s was written to while it was sent: send it again when nobody does", s.name)
	case is.ctime != s.was.ctime && is.links == s.was.links: // a name more or less changes no byte
		return fmt.Errorf("%s was changed while it was sent (its ctime is another): send it again when nobody "+
			"touches it", s.name)
	}
	return nil
}

// Kinds of marks, and how many pieces of how many bytes are hashed for one: 16 MiB in all.
const (
	markFile   = 1 // time of change of the file, and hash
	markBytes  = 2 // hash only
	markPieces = 256
	markPiece  = 64 << 10
)

// mark is what the source is known by when a sender goes on with it: the time of its last change, and a hash over its
// size and pieces from all over it. Standard input that is still coming has none.
func (s *source) mark() ([]byte, error) {
	b := []byte{markBytes}
	switch {
	case s.spool != nil && s.spool.want > 0:
		return nil, nil
	case s.was != nil:
		b = binary.BigEndian.AppendUint64([]byte{markFile}, uint64(s.was.mtime))
	}
	h := sha256.New()
	_ = binary.Write(h, binary.BigEndian, s.size) // a hash takes all
	buf := make([]byte, markPiece)
	last := int64(-1)
	for i := range int64(markPieces) {
		// The first piece begins the source and the last one ends it.
		off := max(0, s.size-markPiece) / (markPieces - 1) * i
		if i == markPieces-1 {
			off = max(0, s.size-markPiece)
		}
		if off == last {
			continue
		}
		last = off
		n, err := s.ReadAt(buf[:min(markPiece, s.size-off)], off)
		if err != nil && !(errors.Is(err, io.EOF) && int64(n) == min(markPiece, s.size-off)) {
			return nil, fmt.Errorf("%s cannot be read at byte %d: %w", s.name, off, err)
		}
		h.Write(buf[:n])
	}
	return append(b, h.Sum(nil)[:16]...), nil
}

// is refuses a source that is not the one of the mark.
func (s *source) is(want []byte) error {
	have, err := s.mark()
	if err != nil {
		return err
	}
	const anew = "receivers have bytes of the other one, so begin anew, without --ticket"
	switch {
	case len(want) == 0 || len(have) == 0:
		return nil // nothing is known of it: the caller vouches
	case want[0] != have[0] || len(want) != len(have):
		return fmt.Errorf("%s is not what the ticket was made for: %s", s.name, anew)
	case string(want[len(want)-16:]) != string(have[len(have)-16:]):
		return fmt.Errorf("%s has other bytes than what the ticket was made for: %s", s.name, anew)
	case string(want) != string(have):
		return fmt.Errorf("%s was written to since the ticket was made: %s", s.name, anew)
	}
	return nil
}
