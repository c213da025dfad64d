package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// async passes lines on to a console without ever making the writer wait: a serial line moves 11 KB/s, and one whose
// far end holds the line moves nothing. What does not fit is dropped and counted.
type async struct {
	w    io.Writer
	mu   sync.Mutex
	wake *sync.Cond
	buf  []byte
	lost int
	done chan struct{}
	end  bool
}

// asyncBuffer bounds, in bytes, what waits for the console.
const asyncBuffer = 256 << 10

func newAsync(w io.Writer) *async {
	a := &async{w: w, done: make(chan struct{})}
	a.wake = sync.NewCond(&a.mu)
	go a.loop() // ends after Close
	return a
}

func (a *async) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.buf)+len(p) > asyncBuffer {
		a.lost++
		return len(p), nil
	}
	a.buf = append(a.buf, p...)
	a.wake.Signal()
	return len(p), nil
}

// Close waits until all is written.
func (a *async) Close() error {
	a.mu.Lock()
	a.end = true
	a.wake.Signal()
	a.mu.Unlock()
	<-a.done
	return nil
}

func (a *async) loop() {
	defer close(a.done)
	for {
		a.mu.Lock()
		for len(a.buf) == 0 && !a.end {
			a.wake.Wait()
		}
		p, lost := a.buf, a.lost
		a.buf, a.lost = nil, 0
		end := a.end && len(p) == 0
		a.mu.Unlock()
		if end {
			return
		}
		// A console that fails is not worth more words than the log file has.
		_, _ = a.w.Write(p)
		if lost > 0 {
			fmt.Fprintf(a.w, "(%d messages were too many for this console; %s has them)\n", lost, logPath)
		}
	}
}

// logFile keeps what was said, in the node's memory: up to two files of maxLog bytes. The zero value discards.
type logFile struct {
	mu   sync.Mutex
	f    *os.File
	size int64
}

const maxLog = 1 << 20

func openLog(name string) (*logFile, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &logFile{f: f, size: st.Size()}, nil
}

// Write never fails: a log that cannot be kept must not end the program that writes it.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		return len(p), nil
	}
	if l.size > 0 && l.size+int64(len(p)) > maxLog {
		l.rotate()
	}
	n, _ := l.f.Write(p)
	l.size += int64(n)
	return len(p), nil
}

func (l *logFile) rotate() {
	name := l.f.Name()
	if err := os.Rename(name, name+".1"); err != nil {
		return
	}
	if f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644); err == nil {
		l.f.Close()
		l.f, l.size = f, 0
	}
}
