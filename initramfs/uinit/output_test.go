package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// stuck is a console whose far end does not take anything until it is released.
type stuck struct {
	entered, release chan struct{}
	got              bytes.Buffer
}

func (s *stuck) Write(p []byte) (int, error) {
	select {
	case s.entered <- struct{}{}:
		<-s.release
	default:
	}
	return s.got.Write(p)
}

func TestAsyncDoesNotWait(t *testing.T) {
	s := &stuck{entered: make(chan struct{}, 1), release: make(chan struct{})}
	a := newAsync(s)
	fmt.Fprintln(a, "first")
	<-s.entered
	line := strings.Repeat("x", 1023) + "\n"
	const lines = asyncBuffer/1024 + 100
	for range lines {
		if n, err := a.Write([]byte(line)); n != len(line) || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	close(s.release)
	a.Close()
	text := s.got.String()
	if !strings.HasPrefix(text, "first\n") || strings.Count(text, line) != lines-100 ||
		!strings.Contains(text, "(100 messages were too many") {
		t.Errorf("%d bytes, %d lines, end %.80q", len(text), strings.Count(text, line), text[len(text)-80:])
	}
}

func TestLogFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log", "agent.log")
	l, err := openLog(name)
	if err != nil {
		t.Fatal(err)
	}
	line := []byte(strings.Repeat("y", 99999) + "\n")
	for range 25 {
		if n, err := l.Write(line); n != len(line) || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	l.f.Close()
	// Ten lines fit into a file: two are thrown away, one is old, one is new.
	for file, lines := range map[string]int64{name: 5, name + ".1": 10} {
		st, err := os.Stat(file)
		if err != nil || st.Size() != lines*int64(len(line)) {
			t.Errorf("%s: %v, %v", file, st, err)
		}
	}
	again, err := openLog(name)
	if err != nil || again.size != 5*int64(len(line)) {
		t.Errorf("opened again: %d bytes, %v", again.size, err)
	}
	again.f.Close()
	if n, err := (&logFile{}).Write(line); n != len(line) || err != nil {
		t.Errorf("without a file: %d, %v", n, err)
	}
}
