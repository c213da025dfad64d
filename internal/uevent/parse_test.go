package uevent

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseEvent(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Event
		ok   bool
	}{
		{"add@/devices/pci0/net/eth0\x00ACTION=add\x00SUBSYSTEM=net\x00INTERFACE=eth0\x00SEQNUM=7\x00",
			Event{Action: "add", Path: "/devices/pci0/net/eth0", Subsystem: "net"}, true},
		{"add@/devices/x\x00MODALIAS=pci:v=1\x00", Event{Action: "add", Path: "/devices/x", Modalias: "pci:v=1"}, true},
		{"libudev\x00\xfe\xed\xca\xfe", Event{}, false},
		{"add@devices", Event{}, false},
		{"", Event{}, false},
	} {
		got, ok := parseEvent([]byte(c.in))
		if d := cmp.Diff(c.want, got); d != "" || ok != c.ok {
			t.Errorf("%q: %v %s", c.in, ok, d)
		}
	}
}

func FuzzParseEvent(f *testing.F) {
	f.Add([]byte("add@/devices/x\x00MODALIAS=pci:*\x00SUBSYSTEM=net\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if e, ok := parseEvent(data); ok && !strings.HasPrefix(e.Path, "/") {
			t.Errorf("path %q", e.Path)
		}
	})
}
