package qemutests

import (
	"bytes"
	"crypto/rand"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/qemu-tests/lab"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/site"
)

// TestTwoSessions casts two different images at the same time on one bridge that forwards a group to its members only.
func TestTwoSessions(t *testing.T) {
	b := setup(t, 5*time.Minute, lab.Options{Snooping: true})
	name1, im1 := b.small(1)
	name2, im2 := b.small(2)
	n1, n2 := b.node("one", site.Hardware{}), b.node("two", site.Hardware{})
	s1 := b.create(name1, []*site.Node{n1}, "--then", "poweroff", "--rate", "60M")
	s2 := b.create(name2, []*site.Node{n2}, "--then", "poweroff", "--rate", "60M")
	b.on(n1, n2)
	v1, v2 := b.done(s1), b.done(s2)
	b.off(n1, n2)
	if v1.Session.Cast.Group == v2.Session.Cast.Group {
		t.Errorf("both casts went to %s", v1.Session.Cast.Group)
	}
	if v1.Session.Ended.Before(v2.Session.Started) || v2.Session.Ended.Before(v1.Session.Started) {
		t.Errorf("the sessions were not at the same time: %v-%v, %v-%v", v1.Session.Started, v1.Session.Ended,
			v2.Session.Started, v2.Session.Ended)
	}
	b.same(n1, im1)
	b.same(n2, im2)
}

// TestWire captures a cast and injects into it: nothing of the image can be read on the wire, and packets that are
// forged or replayed change nothing but a counter.
func TestWire(t *testing.T) {
	b := setup(t, 5*time.Minute, lab.Options{})
	name, im := b.small(1)
	n := b.node("a", site.Hardware{})
	capture, err := b.capture(n.Tap, filepath.Join(b.dir, "wire.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	se := b.create(name, []*site.Node{n}, "--then", "poweroff", "--rate", "20M")
	inject := b.injector()
	b.on(n)
	v := b.until(se, "a tenth of the object", func(v site.View) bool { return received(v, n) > 0.1 })
	group := netip.MustParseAddrPort(v.Session.Cast.Group)
	replayed := capture.packets(t, group, 200)
	forged := forge(replayed)
	// What is lost before a machine that waits for a processor is counted by nobody: then once more.
	times := 0
	for v := v; times < 5 && rejected(v, n) < int64(len(forged)) && !v.Session.Over(); v = se.View() {
		inject.send(t, group, slices.Concat(replayed, forged))
		times++
	}
	v = b.done(se)
	b.off(n)
	capture.stop(t)

	raw, err := os.ReadFile(capture.path)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(raw)) < v.Session.Image.ObjectSize {
		t.Fatalf("the capture has %d bytes, less than the object's %d: it is not the cast", len(raw),
			v.Session.Image.ObjectSize)
	}
	if bytes.Contains(raw, []byte(osimage.Marker[:24])) {
		t.Error("the wire carried a file's text in the clear")
	}
	store, err := image.OpenStore(b.Store)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := store.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	if at, err := leak(stored.Object(), stored.ObjectSize(), raw); err != nil || at >= 0 {
		t.Errorf("the wire carried the object's bytes at %d in the clear (%v)", at, err)
	}
	if got := rejected(v, n); got < int64(len(forged)) {
		t.Errorf("the node rejected %d packets of %d times %d forged and %d replayed ones, want at least %d", got,
			times, len(forged), len(replayed), len(forged))
	} else {
		t.Logf("injected %d times %d forged and %d replayed packets: the node rejected %d", times, len(forged),
			len(replayed), got)
	}
	b.same(n, im)
}

// rejected is how many packets a node says that it has rejected.
func rejected(v site.View, n *site.Node) int64 {
	if p := v.Parts[n.ID].Progress; p != nil {
		return p.Rejected
	}
	return 0
}

// forge makes packets that look like those of the cast: with a changed payload, a changed header, cut short, and of
// noise.
func forge(real [][]byte) [][]byte {
	var out [][]byte
	for i, p := range real {
		f := bytes.Clone(p)
		switch i % 4 {
		case 0:
			f[len(f)/2] ^= 1
		case 1:
			f[i%min(16, len(f))] ^= 0x80
		case 2:
			f = f[:len(f)-1-i%20]
		case 3:
			_, _ = rand.Read(f) // never fails
		}
		out = append(out, f)
	}
	return out
}

// injector is an attacker's socket on the lab's bridge.
type injector struct{ conn net.PacketConn }

func (b *bench) injector() *injector {
	b.Helper()
	i := &injector{}
	err := b.Do(func() (err error) {
		i.conn, err = net.ListenPacket("udp4", lab.Server.String()+":0")
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { i.conn.Close() })
	return i
}

// send sends 500 packets a second: all at once would be as many as may queue before an emulated machine.
func (i *injector) send(t *testing.T, group netip.AddrPort, packets [][]byte) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for _, p := range packets {
		<-tick.C
		if _, err := i.conn.WriteTo(p, net.UDPAddrFromAddrPort(group)); err != nil {
			t.Fatal(err)
		}
	}
}
