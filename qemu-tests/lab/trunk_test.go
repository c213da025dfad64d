package lab

import (
	"bytes"
	"net"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/need"
)

func TestTags(t *testing.T) {
	frame := append([]byte("\x52\x54\x00\x00\x00\x02\x52\x54\x00\x00\x00\x01\x08\x00"), "what is in it"...)
	tagged := tag(frame, 20)
	if !bytes.Equal(tagged[12:18], []byte{0x81, 0, 0, 20, 8, 0}) || !bytes.Equal(tagged[:12], frame[:12]) {
		t.Errorf("tagged it is % x", tagged)
	}
	if got := untag(tagged, 20); !bytes.Equal(got, frame) {
		t.Errorf("without its tag it is % x, want % x", got, frame)
	}
	priority := bytes.Clone(tagged)
	priority[14] |= 0xe0
	if got := untag(priority, 20); !bytes.Equal(got, frame) {
		t.Errorf("of a frame with a priority comes % x", got)
	}
	for name, b := range map[string][]byte{"no tag": frame, "another VLAN": tag(frame, 21), "short": tagged[:17],
		"nothing": nil} {
		if got := untag(b, 20); got != nil {
			t.Errorf("%s: % x comes through", name, got)
		}
	}
	if got := tag(frame[:13], 20); got != nil {
		t.Errorf("half a header is tagged: % x", got)
	}
}

// TestTrunk is a machine on such a port that asks for the server by ARP: it is answered by the kernel, with the tag.
func TestTrunk(t *testing.T) {
	need.Root(t)
	l, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const id = 20
	if _, err := l.Trunk(1, id); err != nil {
		t.Fatal(err)
	}
	var machine *net.UDPConn
	if err := l.Do(func() (err error) {
		local := net.IPv4(127, 0, 0, 1)
		machine, err = net.DialUDP("udp4", &net.UDPAddr{IP: local, Port: 31001}, &net.UDPAddr{IP: local, Port: 30001})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer machine.Close()
	mac := []byte{0x52, 0x54, 0, 0, 0, 9}
	ask := append(append(bytes.Repeat([]byte{0xff}, 6), mac...), 8, 6, 0, 1, 8, 0, 6, 4, 0, 1)
	ask = append(append(append(ask, mac...), 10, 77, 0, 9), 0, 0, 0, 0, 0, 0, 10, 77, 0, 1)
	answered := func(frame []byte) bool {
		t.Helper()
		if err := machine.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := machine.Write(frame); err != nil {
			t.Fatal(err)
		}
		for buf := make([]byte, maxFrame); ; {
			n, err := machine.Read(buf)
			if err != nil {
				return false
			}
			if got := untag(buf[:n], id); got != nil && bytes.Equal(got[:6], mac) && bytes.Equal(got[12:14],
				[]byte{8, 6}) {
				return true
			}
		}
	}
	if answered(ask) {
		t.Error("a question without a tag is answered")
	}
	if answered(tag(ask, id+1)) {
		t.Error("a question of another VLAN is answered")
	}
	if !answered(tag(ask, id)) {
		t.Error("a question of the VLAN is not answered")
	}
}
