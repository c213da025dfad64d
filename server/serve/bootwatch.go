package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/netboot/boot"
)

// bootWatch compares the boot directory with this server, at the start and whenever a file of it changes, and tells the
// operator which machines would not come to it.
type bootWatch struct {
	dir   *boot.Dir
	self  boot.Self
	nodes func() []doc.Node
	log   *slog.Logger
	ready chan struct{}

	// of the last look
	last     string
	manifest string
	files    []string // that the manifest names

	mu       sync.Mutex
	findings []boot.Finding
}

const (
	bootWatchEvery = 5 * time.Second // a stat for each file
	maxNamed       = 10              // machines that a warning names
)

func newBootWatch(dir *boot.Dir, self boot.Self, nodes func() []doc.Node, log *slog.Logger) *bootWatch {
	return &bootWatch{dir: dir, self: self, nodes: nodes, log: log, ready: make(chan struct{})}
}

func (t *bootWatch) Name() string {
	if arch := t.dir.Arch(); arch != bootdir.AMD64 {
		return "boot directory of " + string(arch)
	}
	return "boot directory"
}

func (t *bootWatch) Ready() <-chan struct{} { return t.ready }

func (t *bootWatch) Run(ctx context.Context) error {
	again := time.NewTicker(bootWatchEvery)
	defer again.Stop()
	t.look()
	close(t.ready)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
			t.look()
		}
	}
}

// look checks the directory if anything in it is not as it was at the last look.
func (t *bootWatch) look() {
	is, err := t.facts()
	was := t.last
	if is == was {
		return
	}
	t.last = is
	if err != nil {
		t.set(nil)
		if was != "" || is != noDirectory { // that there is none at the start is said there
			t.log.Warn("the boot directory cannot be read: no machine can boot until mkimage has laid it out", "dir",
				t.dir.Path(), "err", err)
		}
		return
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
	if len(found) == 0 && was != "" && was != noDirectory {
		t.log.Info("the boot directory changed, and leads to this server", "dir", t.dir.Path())
	}
}

// What facts returns beside the facts of files.
const (
	noDirectory = "no directory"
	noManifest  = "no manifest"
	unreadable  = "unreadable: "
)

// facts are what changes when a file of the directory does: inode, size and time of the manifest and of each file that
// it names.
func (t *bootWatch) facts() (string, error) {
	dir := t.dir.Path()
	if _, err := os.Stat(dir); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return noDirectory, err
		}
		return unreadable + err.Error(), err
	}
	manifest := fact(filepath.Join(dir, bootdir.ManifestFile))
	if manifest != t.manifest {
		f, err := os.Open(filepath.Join(dir, bootdir.ManifestFile))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return noManifest, fmt.Errorf("there is no %s in it", bootdir.ManifestFile)
		case err != nil:
			return unreadable + err.Error(), err
		}
		defer f.Close()
		t.manifest, t.files = manifest, nil
		if m, err := bootdir.ReadManifest(f); err == nil { // else Check says why not
			t.files = slices.Sorted(maps.Keys(m.Files))
		}
	}
	var all strings.Builder
	all.WriteString(manifest)
	for _, name := range t.files {
		if filepath.IsLocal(name) {
			all.WriteString(fact(filepath.Join(dir, name)))
		}
	}
	return all.String(), nil
}

func fact(path string) string {
	st, err := os.Stat(path)
	if err != nil {
		return err.Error() + "\n"
	}
	inode := uint64(0)
	if u, ok := st.Sys().(*syscall.Stat_t); ok {
		inode = u.Ino
	}
	return fmt.Sprintln(inode, st.Size(), st.ModTime().UnixNano())
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

// problem says why a machine that took the archive will not come to this server; empty when nothing is known against
// it.
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
