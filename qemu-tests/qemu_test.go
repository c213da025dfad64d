// Package qemutests has whole machines under test: from power-on, over the stock PXE ROM, to the restored system.
// docs/testing.md says how the lab works and what each test shows.
package qemutests

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/qemu-tests/lab"
	"github.com/diskcast/diskcast/qemu-tests/oracle"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/site"
	"github.com/diskcast/diskcast/qemu-tests/vm"
	"github.com/diskcast/diskcast/server/doc"
)

// scratch holds the disks of the machines. Not t.TempDir: /tmp may be memory, and what a failed test leaves is wanted.
var scratch = filepath.Join(osimage.ModuleRoot(), "build", "qemu", strconv.Itoa(os.Getpid()))

func TestMain(m *testing.M) {
	sweep()
	code := m.Run()
	_ = os.Remove(scratch) // stays when a failed test left its logs in it
	os.Exit(code)
}

// sweep removes the disks of test runs that were killed.
func sweep() {
	old, _ := filepath.Glob(filepath.Join(filepath.Dir(scratch), "*"))
	for _, dir := range old {
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = os.RemoveAll(dir)
		}
	}
}

// ready wants what all tests here need of the machine.
func ready(t *testing.T) {
	t.Helper()
	need.Root(t)
	need.Tools(t, vm.QEMU, "mmdebstrap", "sfdisk", "mkfs.ext4", "mkfs.fat", "mcopy", "e2fsck", "fsck.fat", "debugfs",
		"tcpdump")
	for _, p := range []string{"diskcast", "mkimage"} {
		if _, err := os.Stat(filepath.Join(osimage.ModuleRoot(), "build/bin", p)); err != nil {
			need.Skip(t, "it needs build/bin/%s: run make build", p)
		}
	}
}

// bench is one test's site with what the test needs to judge.
type bench struct {
	*testing.T
	*site.Site
	ctx context.Context
	dir string
}

// setup builds a site. Kernel and modules are those of the Debian image.
func setup(t *testing.T, limit time.Duration, o lab.Options) *bench {
	t.Helper()
	return setupSite(t, limit, func(*osimage.Image) site.Options { return site.Options{Lab: o} })
}

// setupSite is setup with more said about the site, its kernel among it.
func setupSite(t *testing.T, limit time.Duration, options func(debian *osimage.Image) site.Options) *bench {
	t.Helper()
	return setupBy(t, limit, debianImage, options)
}

// setupBy is setupSite with the kernel of another Debian.
func setupBy(t *testing.T, limit time.Duration, image func(ctx context.Context, t *testing.T) *osimage.Image,
	options func(debian *osimage.Image) site.Options) *bench {
	t.Helper()
	ready(t)
	ctx, dir := begin(t, limit)
	debian := image(ctx, t)
	log, err := os.Create(filepath.Join(dir, "server.log"))
	if err != nil {
		t.Fatal(err)
	}
	o := options(debian)
	o.Dir, o.ServerLog = dir, log
	if o.Kernel == "" {
		o.Kernel, o.Modules = debian.Kernel, debian.Modules
	}
	if o.Append == "" {
		o.Append = "quiet"
	}
	s, err := site.New(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{T: t, Site: s, ctx: ctx, dir: dir}
	t.Cleanup(func() {
		s.Close()
		log.Close()
		b.tidy()
	})
	return b
}

// begin gives a test its time and a folder, which bench.tidy removes.
func begin(t *testing.T, limit time.Duration) (ctx context.Context, dir string) {
	t.Helper()
	limit = patience(limit)
	ctx, cancel := context.WithTimeoutCause(context.Background(), limit, fmt.Errorf("the test's %v are over", limit))
	t.Cleanup(cancel)
	dir = filepath.Join(scratch, t.Name())
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return ctx, dir
}

// tidy keeps the logs of a failed test, shows their ends, and removes the rest.
func (b *bench) tidy() {
	if !b.Failed() {
		if err := os.RemoveAll(b.dir); err != nil {
			b.Error(err)
		}
		return
	}
	files, _ := os.ReadDir(b.dir)
	for _, f := range files {
		path := filepath.Join(b.dir, f.Name())
		switch filepath.Ext(path) {
		case ".console", ".log":
			if text, err := os.ReadFile(path); err == nil {
				b.Logf("the end of %s:\n%s", path, text[max(0, len(text)-6000):])
			}
		default:
			_ = os.RemoveAll(path)
		}
	}
}

// patience stretches a limit on a machine that has other work to do: DISKCAST_PATIENCE=3 waits three times as long.
func patience(limit time.Duration) time.Duration {
	if f, err := strconv.ParseFloat(os.Getenv("DISKCAST_PATIENCE"), 64); err == nil && f > 0 {
		return time.Duration(float64(limit) * f)
	}
	return limit
}

func debianImage(ctx context.Context, t *testing.T) *osimage.Image {
	t.Helper()
	im, err := osimage.Debian(ctx, osimage.Cache(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	return im
}

// small imports a small image under its name.
func (b *bench) small(variant int) (string, *osimage.Image) {
	b.Helper()
	im, err := osimage.Small(b.ctx, osimage.Cache(), variant, nil)
	if err != nil {
		b.Fatal(err)
	}
	return b.add("small"+strconv.Itoa(variant), im), im
}

// add imports an image and returns its name.
func (b *bench) add(name string, im *osimage.Image) string {
	b.Helper()
	if err := b.Import(b.ctx, name, im.Disk); err != nil {
		b.Fatal(err)
	}
	return name
}

func (b *bench) node(name string, h site.Hardware) *site.Node {
	b.Helper()
	n, err := b.Node(name, h)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

func (b *bench) on(nodes ...*site.Node) {
	b.Helper()
	for _, n := range nodes {
		if err := n.PowerOn(b.ctx); err != nil {
			b.Fatal(err)
		}
	}
}

// create makes a session for the nodes; more are further arguments for `diskcast session create`.
func (b *bench) create(image string, nodes []*site.Node, more ...string) *site.Session {
	b.Helper()
	var macs []string
	for _, n := range nodes {
		macs = append(macs, n.MAC)
	}
	se, err := b.Create(b.ctx, append([]string{"--image", image, "--nodes", strings.Join(macs, ",")}, more...)...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(se.Stop)
	return se
}

// until waits for a condition on a session.
func (b *bench) until(se *site.Session, what string, cond func(site.View) bool) site.View {
	b.Helper()
	v, err := se.Until(b.ctx, what, cond)
	if err != nil {
		b.Fatal(err)
	}
	return v
}

// done waits until a session is over and every node has the image.
func (b *bench) done(se *site.Session) site.View {
	b.Helper()
	v, err := se.Over(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	if v.Session.State != doc.Done {
		b.Fatalf("session %s is not done: %s", se.ID, site.Describe(v))
	}
	return v
}

// off waits until machines have switched themselves off.
func (b *bench) off(nodes ...*site.Node) {
	b.Helper()
	for _, n := range nodes {
		if err := n.WaitOff(b.ctx); err != nil {
			b.Fatal(err)
		}
	}
}

// same holds a node's first disk against the image that it should have.
func (b *bench) same(n *site.Node, im *osimage.Image, ignore ...string) {
	b.Helper()
	b.sameDisk(n.Disk, im, ignore...)
}

// sameDisk is same of any disk.
func (b *bench) sameDisk(path string, im *osimage.Image, ignore ...string) {
	b.Helper()
	name := filepath.Base(path)
	done, err := oracle.Check(b.ctx,
		oracle.Disk{Path: path, Like: im.Disk, FS: im.FS, Root: im.Root, ESP: im.ESP, Ignore: ignore}, b.dir)
	if err != nil {
		b.Fatalf("disk %s: %v", name, err)
	}
	for _, line := range done {
		b.Logf("disk %s: %s", name, line)
	}
}

// blank fails when a disk has a byte that is not zero.
func (b *bench) blank(path string, from, length int64) {
	b.Helper()
	at, err := oracle.FirstNonZero(path, from, length)
	if err != nil {
		b.Fatal(err)
	}
	if at >= 0 {
		b.Fatalf("%s was written to: byte %d is not zero", path, at)
	}
}

// written is the share of its bytes that a node has written in a session.
func written(v site.View, n *site.Node) float64 {
	p, ok := v.Parts[n.ID]
	if !ok || p.Progress == nil || p.Progress.ToWrite == 0 {
		return 0
	}
	return float64(p.Progress.Written) / float64(p.Progress.ToWrite)
}

// received is the share of the object that a node has received.
func received(v site.View, n *site.Node) float64 {
	p, ok := v.Parts[n.ID]
	if !ok || p.Progress == nil || p.Progress.Needed == 0 {
		return 0
	}
	return float64(p.Progress.Received) / float64(p.Progress.Needed)
}

// reached reports whether a node has reported a step.
func reached(v site.View, n *site.Node, step string) bool {
	_, ok := v.Parts[n.ID].Steps[step]
	return ok
}
