package cmd

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/convert"
	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/server/library/registry"
	"github.com/diskcast/diskcast/server/library/registry/registrytest"
)

const killEnv = "DISKCAST_CLI_KILL"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killEnv); dir != "" {
		seed, err := strconv.ParseUint(os.Getenv(killEnv+"_SEED"), 10, 64)
		if err == nil {
			w := &victim{dir: dir, registry: os.Getenv(killEnv + "_REGISTRY"), seed: seed,
				rng: rand.New(rand.NewPCG(seed, 5))}
			err = w.work()
		}
		fmt.Println("failed", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// victim runs commands of the operator, one after another, until it is killed. Before each it prints "begins" and the
// command line, after it "did" and what the command says came of it.
type victim struct {
	dir, registry string
	seed          uint64
	rng           *rand.Rand
}

// sources are what is imported: a disk as it is, and as other programs keep it.
var sources = []string{"raw", "gz", "qcow2", "layout"}

func (w *victim) work() error {
	fmt.Println("ready")
	for i := 0; ; i++ {
		name := fmt.Sprintf("keep-%d-%d", w.seed, i)
		var err error
		switch n := w.rng.IntN(9); n {
		case 0, 1, 2:
			err = w.do(w.source(sources[w.rng.IntN(len(sources))], name)...)
		case 3, 4:
			// A disk that nobody has seen yet, so that there is something to send.
			path := filepath.Join(w.dir, "mine.img")
			disk := make([]byte, 256<<10)
			imagetest.Random(disk, w.rng.Uint64())
			if err = os.WriteFile(path, disk, 0o600); err == nil {
				err = w.do("import", path, "--name", name)
			}
			if err == nil {
				err = w.do("push", name, w.registry+":"+name, "--plain-http")
			}
		case 5, 6:
			err = w.do("pull", fmt.Sprintf("%s:source-%d", w.registry, w.rng.IntN(8)), "--plain-http", "--name",
				[]string{name, "trash"}[n-5])
		case 7, 8:
			// What was pulled is forgotten, so that it is fetched again.
			if _, err := command(context.Background(), filepath.Join(w.dir, "state"), "show", "trash"); err == nil {
				if err := w.do("rm", "trash"); err != nil {
					return err
				}
			}
			err = w.do("gc", "--unnamed", "--partial="+strconv.FormatBool(w.rng.IntN(2) == 0))
		}
		if err != nil {
			return err
		}
	}
}

// source is the command that imports a source.
func (w *victim) source(kind, name string) []string {
	if kind == "layout" {
		return []string{"import", filepath.Join(w.dir, "other", "images"), "--image", "source-1", "--name", name}
	}
	return []string{"import", filepath.Join(w.dir, "disk."+kind), "--name", name}
}

func (w *victim) do(args ...string) error {
	fmt.Println("begins", strings.Join(args, " "))
	digest, err := command(context.Background(), filepath.Join(w.dir, "state"), args...)
	if err == nil {
		fmt.Println("did", strings.Join(args, " "), digest)
	}
	return err
}

// command runs an image command and returns the digest that it tells.
func command(ctx context.Context, state string, args ...string) (string, error) {
	var out, errs bytes.Buffer
	if err := os.MkdirAll(state, 0o700); err != nil {
		return "", err
	}
	err := Run(ctx, append([]string{"image", "--state", state, "--json"}, args...), strings.NewReader(""), &out, &errs)
	if errors.Is(err, image.ErrNoStore) && args[0] == "gc" {
		return "", nil // nothing was imported yet
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, &errs)
	}
	var doc struct{ Digest string }
	_ = json.Unmarshal(out.Bytes(), &doc) // rm's and gc's have none
	return doc.Digest, nil
}

// TestKill kills programs that import, push, pull and collect garbage, at points that nobody chose. Whatever was
// complete is whole afterwards, in the store and in the registry, and the command that was killed succeeds when it is
// given again.
func TestKill(t *testing.T) {
	seeds, stores := 200, 10
	if testing.Short() {
		seeds, stores = 20, 2
	}
	addr := registrytest.Start(t)
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Run("stores", func(t *testing.T) {
		for n := range stores {
			t.Run(strconv.Itoa(n), func(t *testing.T) {
				t.Parallel()
				k := newKiller(t, fmt.Sprintf("%s/kill-%d", addr, n))
				for i := range seeds / stores {
					k.kill(uint64(n*1000 + i))
					k.check(false)
				}
				k.end()
			})
		}
	})
}

// killer looks at a store after its users were killed.
type killer struct {
	*testing.T
	dir, registry string
	kept          map[string]string // name to digest
	pushed        map[string]string // tag to digest
	killed        map[string]int    // how often which command was
	seen          map[string]bool   // digests of images that were verified
}

func newKiller(t *testing.T, registry string) *killer {
	t.Helper()
	k := &killer{T: t, dir: t.TempDir(), registry: registry, kept: map[string]string{}, pushed: map[string]string{},
		killed: map[string]int{}, seen: map[string]bool{}}
	disk := make([]byte, 512<<10)
	imagetest.Fill(disk, 11)
	k.must(os.WriteFile(k.path("disk.raw"), disk, 0o600))
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := z.Write(disk)
	k.must(err)
	k.must(z.Close())
	k.must(os.WriteFile(k.path("disk.gz"), packed.Bytes(), 0o600))
	src, err := convert.Open(k.path("disk.raw"))
	k.must(err)
	defer src.Close()
	f, err := os.Create(k.path("disk.qcow2"))
	k.must(err)
	k.must(convert.ExportQcow2(t.Context(), src, src.Size(), src.Allocated(), f))
	k.must(f.Close())
	for i := range 8 {
		imagetest.Random(disk[:200<<10], uint64(100+i))
		k.must(os.WriteFile(k.path("source.img"), disk[:256<<10], 0o600))
		name := fmt.Sprintf("source-%d", i)
		_, err := command(t.Context(), k.path("other"), "import", k.path("source.img"), "--name", name)
		k.must(err)
		_, err = command(t.Context(), k.path("other"), "push", name, registry+":"+name, "--plain-http")
		k.must(err)
	}
	return k
}

func (k *killer) path(name string) string { return filepath.Join(k.dir, name) }

func (k *killer) must(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

// kill starts a victim, kills it after some time, and gives the command that it was at once more.
func (k *killer) kill(seed uint64) {
	k.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), killEnv+"="+k.dir, fmt.Sprintf("%s_SEED=%d", killEnv, seed), killEnv+"_REGISTRY="+
		k.registry)
	out, err := cmd.StdoutPipe()
	k.must(err)
	k.must(cmd.Start())
	life := time.Duration(rand.New(rand.NewPCG(seed, 6)).IntN(90_000)) * time.Microsecond
	var begun []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		f := strings.Fields(lines.Text())
		switch {
		case len(f) == 0:
		case f[0] == "ready":
			timer := time.AfterFunc(life, func() { _ = cmd.Process.Kill() })
			defer timer.Stop()
		case f[0] == "begins":
			begun = f[1:]
		case f[0] == "did":
			k.note(begun, f[len(f)-1])
			begun = nil
		case f[0] == "failed":
			k.Errorf("seed %d: %s", seed, lines.Text())
		}
	}
	_ = cmd.Wait() // it was killed
	if len(begun) == 0 {
		return
	}
	k.killed[begun[0]]++
	if begun[0] == "rm" {
		return // may have done it
	}
	digest, err := command(k.Context(), k.path("state"), begun...)
	if err != nil {
		k.Fatalf("seed %d: after the kill: %v", seed, err)
	}
	k.note(begun, digest)
}

// note keeps what a command that is complete has made.
func (k *killer) note(args []string, digest string) {
	switch name := args[len(args)-1]; args[0] {
	case "import", "pull":
		if name != "trash" {
			k.kept[name] = digest
		}
	case "push":
		k.pushed[args[1]] = digest
	}
}

// check looks at every image of the store: that all of it is there, and, with all or when it is new, that every byte is
// right. Blobs are never written again.
func (k *killer) check(all bool) {
	k.Helper()
	s, err := image.OpenStore(k.path("state/images"))
	k.must(err)
	list, err := s.List()
	k.must(err)
	if all {
		clear(k.seen)
	}
	have := map[string]string{}
	for _, e := range list {
		have[e.Name] = e.Digest
		if k.seen[e.Digest] {
			im, err := s.Open(e.Digest)
			k.must(err)
			im.Close()
			continue
		}
		k.whole(s, e.Digest)
		k.seen[e.Digest] = true
	}
	for name, digest := range k.kept {
		if have[name] != digest {
			k.Fatalf("image %s was complete and is now %q, not %s", name, have[name], digest)
		}
	}
}

func (k *killer) whole(s *image.Store, ref string) {
	k.Helper()
	im, err := s.Open(ref)
	k.must(err)
	defer im.Close()
	k.must(im.Verify(k.Context(), nil))
}

// end looks at what is in the registry, and that nothing is left lying about in the store.
func (k *killer) end() {
	k.Helper()
	k.Logf("%d images were complete in the store, %d in the registry; killed: %v", len(k.kept), len(k.pushed), k.killed)
	s, err := image.OpenStore(k.path("fresh"))
	k.must(err)
	for tag, digest := range k.pushed {
		r, err := registry.Open(k.registry+":"+tag, registry.Options{PlainHTTP: true, Client: http.DefaultClient})
		k.must(err)
		got, err := r.Pull(k.Context(), s, tag, nil)
		k.must(err)
		if got != digest {
			k.Errorf("%s was pushed as %s and is pulled as %s", tag, digest, got)
		}
		k.whole(s, tag)
	}
	_, err = command(k.Context(), k.path("state"), "gc", "--unnamed", "--partial")
	k.must(err)
	k.check(true)
	for _, dir := range []string{"tmp", "partial"} {
		left, err := filepath.Glob(k.path("state/images/.diskcast/" + dir + "/*"))
		k.must(err)
		if len(left) > 0 {
			k.Errorf("left after garbage collection: %v", left)
		}
	}
	if left, _ := filepath.Glob(k.path("state/images/diskcast-convert-*")); len(left) > 0 {
		k.Errorf("imports left %v", left)
	}
}
