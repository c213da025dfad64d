package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/server/boot"
	"github.com/diskcast/diskcast/server/model"
)

// bootWatch compares the boot directory with this server, at the start and whenever the directory changes, and tells the
// operator which machines would not come to it.
type bootWatch struct {
	dir   *boot.Dir
	self  boot.Self
	nodes func() []model.Node
	log   *slog.Logger
	ready chan struct{}

	mu       sync.Mutex
	findings []boot.Finding
}

const (
	bootWatchEvery = 5 * time.Second // one stat
	maxNamed       = 10              // machines that a warning names
)

func newBootWatch(dir *boot.Dir, self boot.Self, nodes func() []model.Node, log *slog.Logger) *bootWatch {
	return &bootWatch{dir: dir, self: self, nodes: nodes, log: log, ready: make(chan struct{})}
}

func (t *bootWatch) Name() string           { return "boot directory" }
func (t *bootWatch) Ready() <-chan struct{} { return t.ready }

func (t *bootWatch) Run(ctx context.Context) error {
	again := time.NewTicker(bootWatchEvery)
	defer again.Stop()
	last := t.look(nil)
	close(t.ready)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
			last = t.look(last)
		}
	}
}

// look checks the directory if its manifest is not the one of the last look, and returns the manifest's facts. mkimage makes
// each directory anew, so that its manifest is always another file.
func (t *bootWatch) look(last fs.FileInfo) fs.FileInfo {
	st, err := os.Stat(filepath.Join(t.dir.Path(), bootdir.ManifestFile))
	if err == nil && last != nil && os.SameFile(st, last) && st.ModTime().Equal(last.ModTime()) && st.Size() == last.Size() {
		return last
	}
	if err != nil {
		st = nil
		if last == nil && !errors.Is(err, fs.ErrNotExist) || last != nil {
			t.log.Warn("the boot directory cannot be read: no machine can boot", "dir", t.dir.Path(), "err", err)
			t.set(nil)
		}
		return st
	}
	found, err := t.dir.Check(t.self)
	if err != nil {
		found = []boot.Finding{{Words: err.Error(), Fails: boot.FailsAll}}
	}
	t.set(found)
	for _, f := range found {
		t.log.Warn("the boot directory does not lead to this server", "dir", t.dir.Path(), "why", f.Words,
			"fails", string(f.Fails), "machines", t.named(f.Fails))
	}
	if len(found) == 0 && last != nil {
		t.log.Info("the boot directory changed, and leads to this server", "dir", t.dir.Path())
	}
	return st
}

func (t *bootWatch) set(f []boot.Finding) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.findings = f
}

// named lists the known machines of a kind.
func (t *bootWatch) named(f boot.Fails) string {
	var names []string
	n := 0
	for _, node := range t.nodes() {
		if f.Fits(node.Inventory.Firmware) {
			if n++; n <= maxNamed {
				names = append(names, node.ID)
			}
		}
	}
	switch {
	case n == 0:
		return "none is known yet"
	case n > maxNamed:
		return fmt.Sprintf("%s and %d more", strings.Join(names, " "), n-maxNamed)
	}
	return strings.Join(names, " ")
}

// problem says why a machine that took the archive will not come to this server; empty when nothing is known against it.
func (t *bootWatch) problem() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.findings {
		if f.Fails == boot.FailsAll {
			return "the boot directory does not lead to this server: " + f.Words
		}
	}
	return ""
}
