package castcmd

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
)

// spool keeps a copy of a pipe in a file without a name, so that any part of it can be sent again. Reading what has not
// come yet waits.
type spool struct {
	file *os.File
	want int64 // bytes announced, 0 if unknown

	mu   sync.Mutex
	more *sync.Cond
	n    int64
	err  error // io.EOF at the end
}

func newSpool(dir string, want int64, r io.Reader) (*spool, error) {
	f, err := os.CreateTemp(dir, "diskcast-*")
	if err != nil {
		return nil, fmt.Errorf("a copy of standard input cannot be kept: %w; name a directory with --spool", err)
	}
	os.Remove(f.Name()) // it lives as long as it is open
	s := &spool{file: f, want: want}
	s.more = sync.NewCond(&s.mu)
	// Ends with its input, or when close makes writing fail.
	go s.fill(r)
	return s, nil
}

func (s *spool) fill(r io.Reader) {
	buf := make([]byte, 1<<20)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			if _, werr := s.file.WriteAt(buf[:n], s.n); werr != nil {
				err = fmt.Errorf("keeping a copy of standard input: %w", werr)
				n = 0
			}
		}
		s.mu.Lock()
		s.n += int64(n)
		if s.want > 0 && s.n > s.want {
			err = fmt.Errorf("standard input has more than the %d bytes that --size announces", s.want)
		}
		if err != nil {
			s.err = err
		}
		s.more.Broadcast()
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// size waits until the size of the object is known.
func (s *spool) size(ctx context.Context) (int64, error) {
	if s.want > 0 {
		return s.want, nil
	}
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.err == nil {
			s.err = ctx.Err()
		}
		s.more.Broadcast()
	})
	defer stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.err == nil {
		s.more.Wait()
	}
	if s.err != io.EOF {
		return 0, fmt.Errorf("standard input: %w", s.err)
	}
	return s.n, nil
}

// ReadAt reads what has come, waiting for it.
func (s *spool) ReadAt(p []byte, off int64) (int, error) {
	s.mu.Lock()
	for s.err == nil && s.n < off+int64(len(p)) {
		s.more.Wait()
	}
	n, err := s.n, s.err
	s.mu.Unlock()
	if n < off+int64(len(p)) {
		return 0, fmt.Errorf("standard input ended at byte %d: %w", n, err)
	}
	return s.file.ReadAt(p, off)
}

// fault is why the copy is not what was announced; nil as far as is known.
func (s *spool) fault() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil || s.err == io.EOF {
		return nil
	}
	return s.err
}

func (s *spool) close() {
	s.mu.Lock()
	if s.err == nil {
		s.err = os.ErrClosed
	}
	s.more.Broadcast()
	s.mu.Unlock()
	s.file.Close()
}
