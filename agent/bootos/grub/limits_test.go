package grub

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestLimits runs configurations that are made to eat memory or time. Each must end as a restart that names a limit,
// with a live heap below 128 MB (the node has 512 MiB) and within the steps.
func TestLimits(t *testing.T) {
	b60 := strings.Repeat("a;", 30<<10)
	entries := map[string]string{}
	for i := range 1000 {
		entries[fmt.Sprintf("1:/loader/entries/a-%d.conf", i)] = "linux /k\noptions $vv\n"
	}
	many := map[string]string{}
	for i := range 4000 {
		many[fmt.Sprintf("1:/loader/entries/a-%d.conf", i)] = "linux /k\n"
	}
	for _, tt := range []struct {
		name, config string
		files        map[string]string
	}{
		{"4 MB of commands", strings.Repeat("a;", 2<<20), nil},
		{"1 MB of commands", strings.Repeat("a;", 1<<19), nil},
		{"one word of many variables", "echo " + strings.Repeat("$a", 1<<18), nil},
		{"entries with large bodies", "b='" + b60 + "'\nwhile true; do menuentry --source \"$b\" x; done", nil},
		{"entries with a large word", "b='echo " + strings.Repeat("x", 60<<10) +
			"'\nwhile true; do menuentry --source \"$b\" x; done", nil},
		{"functions with large bodies", "b='" + b60 +
			"'\nn=f\nwhile true; do n=${n}x; eval \"function $n { $b}\"; done", nil},
		{"a large variable in every entry", "vv=" + strings.Repeat("v", 60<<10) + "\nblscfg", entries},
		{"more entries than a menu has", "blscfg", many},
		{"entries again and again", "while true; do blscfg x; done", entries},
		{"a large expression", "regexp '((a{30}){30}|x)*b' " + strings.Repeat("a", 20<<10), nil},
		{"an expression again and again", "while true; do regexp '((a{30}){30}|x)*b' " + strings.Repeat("a", 4000) +
			"; done", nil},
		{"an expression that grows", "regexp '" + strings.Repeat("a{900}", 150) + "' a", nil},
		{"tests for files", "while true; do [ -e /a/b/c ]; done", nil},
		{"a long file name", "[ -e " + strings.Repeat("/a", 20000) + " ]", nil},
		{"searches for files", "while true; do search --file /nosuch; done", nil},
		{"a word of many parts again and again", "a=b\nwhile true; do set c=" + strings.Repeat("$a", 30000) + "; done",
			nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := &fakeFiles{files: map[string]string{"1:/g": tt.config, "1:/k": "k"}}
			for k, v := range tt.files {
				files.files[k] = v
			}
			start := time.Now()
			var err error
			peak := peakHeap(func() { _, err = Default(files, Options{Device: 1, Path: "/g"}) })
			took := time.Since(start)
			var restart *Restart
			if !errors.As(err, &restart) || !errors.Is(err, ErrLimit) || err.Error() == ErrLimit.Error() {
				t.Errorf("%v, not a restart that names a limit", err)
			}
			if peak > 128<<20 || took > maxTime {
				t.Errorf("%d MB, %v", peak>>20, took)
			}
			t.Logf("%d MB, %v: %v", peak>>20, took, err)
		})
	}
}

// peakHeap returns the most bytes that were allocated at a time while f ran, above those before it.
func peakHeap(f func()) uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before := m.HeapAlloc
	var peak atomic.Uint64
	stop, stopped := make(chan struct{}), make(chan struct{})
	sample := func() {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		if m.HeapAlloc > before+peak.Load() {
			peak.Store(m.HeapAlloc - before)
		}
	}
	go func() {
		defer close(stopped)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				sample()
			}
		}
	}()
	f()
	sample()
	close(stop)
	<-stopped
	return peak.Load()
}

// TestTimeLimit ends a run whose clock runs out, and names the time.
func TestTimeLimit(t *testing.T) {
	files := &fakeFiles{files: map[string]string{"1:/g": "true\ntrue\nmenuentry a { linux /k; }\nset timeout=0",
		"1:/k": "k"}}
	at := time.Now()
	slow := func() time.Time { at = at.Add(time.Second); return at }
	_, err := Default(files, Options{Device: 1, Path: "/g", Now: slow})
	var restart *Restart
	if !errors.As(err, &restart) || !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), maxTime.String()) {
		t.Errorf("%v", err)
	}
}
