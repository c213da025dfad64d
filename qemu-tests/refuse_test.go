package qemutests

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/qemu-tests/lab"
	"github.com/diskcast/diskcast/qemu-tests/site"
	"github.com/diskcast/diskcast/server/doc"
)

// TestRefusals: a disk that is too small and a rule that fits two disks are refused in clear words before the first
// write.
func TestRefusals(t *testing.T) {
	b := setup(t, 4*time.Minute, lab.Options{})
	image, _ := b.small(1)
	tiny := b.node("tiny", site.Hardware{Disks: []int64{64 << 20}})
	twin := b.node("twin", site.Hardware{Disks: []int64{1 << 30, 1 << 30}})
	cases := []struct {
		node *site.Node
		want []string
		se   *site.Session
	}{
		{node: tiny, want: []string{"/dev/vda", "too small"}},
		{node: twin, want: []string{"/dev/vda", "/dev/vdb"}},
	}
	for i := range cases {
		cases[i].se = b.create(image, []*site.Node{cases[i].node}, "--then", "poweroff")
	}
	b.on(tiny, twin)
	for _, c := range cases {
		v, err := c.se.Over(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		p := v.Parts[c.node.ID]
		t.Logf("%s: %s", c.node.Name(), p.Reason)
		if v.Session.State != doc.Failed || p.State != doc.Failed {
			t.Errorf("%s: session %s, node %s, want both failed", c.node.Name(), v.Session.State, p.State)
		}
		for _, word := range c.want {
			if !strings.Contains(p.Reason, word) {
				t.Errorf("%s: the reason %q does not say %q", c.node.Name(), p.Reason, word)
			}
		}
	}
	// A failed node stays reachable, with its words on the server.
	out, err := b.Operate(b.ctx, "node", "list")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, tiny.ID) || !strings.Contains(out, twin.ID) {
		t.Errorf("node list does not show the failed nodes:\n%s", out)
	}
	// A plan refuses them for the same reasons, and sees that one of them would take the other rule.
	plan := []string{"session", "plan", "--image", image, "--nodes", tiny.ID + "," + twin.ID}
	if out, err := b.Operate(b.ctx, plan...); err == nil || !strings.Contains(out+err.Error(), "too small") ||
		!strings.Contains(out+err.Error(), "fits 2 disks") {
		t.Errorf("the plan: %v\n%s", err, out)
	}
	var p doc.Plan
	if err := b.Ask(b.ctx, &p, append(plan, "--disk", "path=/dev/vda")...); err != nil || len(p.Machines) != 2 ||
		p.Machines[0].Verdict != doc.PlanRefused || p.Machines[1].Verdict != doc.PlanGoes {
		t.Errorf("the plan with a path: %v, %+v", err, p)
	}
	disks, err := filepath.Glob(filepath.Join(b.dir, "t*.raw"))
	if err != nil || len(disks) != 3 {
		t.Fatalf("disks %v, %v", disks, err)
	}
	for _, d := range disks {
		b.blank(d, 0, 64<<20)
	}
}

// TestDamagedBlob changes one byte of a stored blob behind the server's back. No node reports success, none writes the
// chunk, and the error names image, chunk and offset.
func TestDamagedBlob(t *testing.T) {
	b := setup(t, 4*time.Minute, lab.Options{})
	name, _ := b.small(1)
	chunk := damage(b, name)
	nodes := []*site.Node{b.node("a", site.Hardware{}), b.node("b", site.Hardware{})}
	se := b.create(name, nodes, "--min-nodes", "2", "--then", "poweroff")
	b.on(nodes...)
	v, err := se.Over(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if v.Session.State != doc.Failed {
		t.Errorf("session is %s, want failed: %s", v.Session.State, site.Describe(v))
	}
	for _, n := range nodes {
		p := v.Parts[n.ID]
		t.Logf("%s: %s", n.Name(), p.Reason)
		if p.State != doc.Failed || reached(v, n, session.StepWritten) || reached(v, n, session.StepBoot) {
			t.Errorf("%s is %s at step %s", n.Name(), p.State, p.Step)
		}
		all := p.Reason + strings.Join(v.Messages(session.StepChunk), " ") + v.Session.Reason
		for _, word := range []string{name, chunk.words, "offset"} {
			if !strings.Contains(all, word) {
				t.Errorf("%s: %q does not name %q", n.Name(), all, word)
			}
		}
		n.Unplug()
		for _, e := range chunk.extents {
			b.blank(n.Disk, e.Offset, e.Length)
		}
	}
}

type damaged struct {
	words   string // as an error names the chunk
	extents []image.Extent
}

// damage flips one byte in the middle of a frame in the middle of an image's data blob.
func damage(b *bench, name string) damaged {
	b.Helper()
	store, err := image.OpenStore(b.Store)
	if err != nil {
		b.Fatal(err)
	}
	im, err := store.Open(name)
	if err != nil {
		b.Fatal(err)
	}
	x := im.Index()
	frame := x.Frames[len(x.Frames)/2]
	largest, size := "", int64(0)
	blobs, err := os.ReadDir(filepath.Join(b.Store, "blobs", "sha256"))
	if err != nil {
		b.Fatal(err)
	}
	for _, e := range blobs {
		if fi, err := e.Info(); err == nil && fi.Size() > size {
			largest, size = filepath.Join(b.Store, "blobs", "sha256", e.Name()), fi.Size()
		}
	}
	at := frame.Offset + frame.Length/2
	if err := os.Chmod(largest, 0o600); err != nil {
		b.Fatal(err)
	}
	f, err := os.OpenFile(largest, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	one := make([]byte, 1)
	if _, err := f.ReadAt(one, at); err != nil {
		b.Fatal(err)
	}
	one[0] ^= 0x20
	if _, err := f.WriteAt(one, at); err != nil {
		b.Fatal(err)
	}
	chunk := frame.Chunks[0]
	return damaged{words: "chunk " + strconv.Itoa(int(chunk)), extents: x.Chunks[chunk].Extents}
}
