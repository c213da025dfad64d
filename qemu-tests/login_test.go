package qemutests

import (
	"strconv"
	"testing"
	"time"

	"github.com/diskcast/diskcast/qemu-tests/lab"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/site"
)

// TestTwoNodesToLogin is the whole line: two blank machines, the stock PXE ROM, one image, one session, kexec, and the
// login prompt of the restored Debian, which is then logged into, and whose root has grown to the size of the larger
// disk. Nobody sets the rate: that the cast finds what two slow machines can take is part of what is shown.
func TestTwoNodesToLogin(t *testing.T) {
	b := setup(t, 8*time.Minute, lab.Options{Snooping: true})
	debian := debianImage(b.ctx, t)
	image := b.add("debian", debian)
	nodes := []*site.Node{b.node("a", site.Hardware{}), b.node("b", site.Hardware{Junk: true})}
	se := b.create(image, nodes, "--min-nodes", "2")
	b.on(nodes...)
	v := b.done(se)
	sent, size := v.Session.Cast.Stats.Sent, v.Session.Image.ObjectSize
	t.Logf("sent %.3f of the object", float64(sent)/float64(size))
	if float64(sent) > 1.5*float64(size) {
		t.Errorf("the server sent %d bytes of an object of %d to two nodes: that is not one cast for both", sent, size)
	}
	for _, n := range nodes {
		if _, err := n.Expect(b.ctx, osimage.LoginPrompt); err != nil {
			t.Fatal(err)
		}
		if err := osimage.Login(b.ctx, n.VM); err != nil {
			t.Fatal(err)
		}
		// The disk has 2 GiB, the image's root 448 MiB. findmnt asks the running kernel; ext4 takes its own tables off.
		if err := n.Console().Send("echo root-''bytes: $(findmnt -bno SIZE /)\n"); err != nil {
			t.Fatal(err)
		}
		m, err := n.Expect(b.ctx, `^root-bytes: (\d+)\s`)
		if err != nil {
			t.Fatal(err)
		}
		if size, err := strconv.ParseInt(m.Groups[1], 10, 64); err != nil || size < 17e8 {
			t.Errorf("%s: the root has %s bytes (%v): it was not grown", n.Name(), m.Groups[1], err)
		}
		if err := n.Console().Send(osimage.PowerOff); err != nil {
			t.Fatal(err)
		}
	}
	b.off(nodes...)
	for _, n := range nodes {
		b.same(n, debian, osimage.BootWrites...)
	}
}
