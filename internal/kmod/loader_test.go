package kmod

import (
	"errors"
	"io/fs"
	"path"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
)

// fakeKernel notes what it is given. Modules in fail are refused.
type fakeKernel struct {
	mu     sync.Mutex
	loaded []string
	fail   map[string]bool
}

var _ Kernel = (*fakeKernel)(nil)

var errRefused = errors.New("refused")

func (k *fakeKernel) Init(file fs.File, params string) error {
	st, err := file.Stat()
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	name := strings.TrimSuffix(path.Base(st.Name()), ".ko")
	if k.fail[name] {
		return errRefused
	}
	k.loaded = append(k.loaded, strings.TrimSpace(name+" "+params))
	return nil
}

func testLoader(t *testing.T, fail ...string) (*Loader, *fakeKernel) {
	x := testIndex(t)
	dir := fstest.MapFS{}
	for _, m := range x.Modules() {
		dir[m.Path] = &fstest.MapFile{}
	}
	k := &fakeKernel{fail: map[string]bool{}}
	for _, f := range fail {
		k.fail[f] = true
	}
	return &Loader{Index: x, Dir: dir, Kernel: k, Params: func(m string) string {
		if m == "nic" {
			return "speed=1"
		}
		return ""
	}}, k
}

func TestLoader(t *testing.T) {
	for _, c := range []struct {
		name, load string
		fail       []string
		want       string
		n          int
		err        string
	}{
		{"dependencies first", "fs-ext4", nil, "jbd2,crc-generic,crc_intel,ext4", 4, ""},
		{"parameters", "nic", nil, "nic speed=1", 1, ""},
		{"nothing for the device", "pci:v99", nil, "", 0, ""},
		{"a soft dependency fails", "ext4", []string{"crc-generic"}, "jbd2,crc_intel,ext4", 3, ""},
		{"a hard dependency fails", "ext4", []string{"jbd2"}, "", 0, "module jbd2: refused"},
		{"one of two fails", "pci:v01d1", nil, "nic speed=1", 1, "needs missing"},
	} {
		l, k := testLoader(t, c.fail...)
		n, err := l.Load(c.load)
		if got := strings.Join(k.loaded, ","); got != c.want || n != c.n {
			t.Errorf("%s: loaded %q (%d), want %q (%d)", c.name, got, n, c.want, c.n)
		}
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.err)
		}
		if again, _ := l.Load(c.load); again != 0 {
			t.Errorf("%s: %d modules were loaded twice", c.name, again)
		}
	}
}

func TestLoaderSkips(t *testing.T) {
	l, k := testLoader(t)
	l.Skip = func(m *Module) bool { return m.Name == "nic" }
	if n, err := l.Load("pci:v02d1"); n != 0 || err != nil {
		t.Errorf("by alias: %d, %v", n, err)
	}
	if n, err := l.Load("nic"); n != 1 || err != nil || len(k.loaded) != 1 {
		t.Errorf("by name: %d, %v", n, err)
	}
}

func TestLoaderInParallel(t *testing.T) {
	l, k := testLoader(t)
	var wg sync.WaitGroup
	for _, name := range []string{"ext4", "crc_intel", "crc32c", "jbd2", "fs-ext4", "nic"} {
		for range 4 {
			wg.Go(func() { _, _ = l.Load(name) })
		}
	}
	wg.Wait()
	if len(k.loaded) != 5 {
		t.Errorf("loaded %q, want five different ones", k.loaded)
	}
}
