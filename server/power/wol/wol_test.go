package wol

import (
	"bytes"
	"encoding/hex"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/server/power"
)

// TestRelay has a relay get three packets for each NIC, and nothing believed of the machine.
func TestRelay(t *testing.T) {
	relay, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	c := &power.Config{Machine: "m1", Address: relay.LocalAddr().String(),
		MACs: []string{"52:54:00:00:00:01", "52:54:00:00:00:02"}}
	dev, err := Driver.Open(c, &power.Host{Gate: power.NewGate(0)})
	if err != nil {
		t.Fatal(err)
	}
	o, err := power.NewMachine(Driver, dev, power.Timing{Request: time.Minute, Tries: 1}).On(t.Context())
	if err != nil || !o.Blind || o.State != power.Unknown {
		t.Errorf("on: %+v, %v; want an outcome that is not known", o, err)
	}
	got := map[string]int{}
	for range 6 {
		b := make([]byte, 1500)
		if err := relay.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		n, _, err := relay.ReadFrom(b)
		if err != nil {
			t.Fatal(err)
		}
		got[hex.EncodeToString(b[:n])]++
	}
	for _, mac := range []string{"525400000001", "525400000002"} {
		// As AMD's white paper 20213 has it: six ff, and the address sixteen times.
		if p := strings.Repeat("ff", 6) + strings.Repeat(mac, 16); got[p] != 3 {
			t.Errorf("NIC %s had %d packets, want 3; got %v", mac, got[p], got)
		}
	}
}

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		conf power.Config
		ok   bool
	}{
		"the LAN":        {power.Config{MACs: []string{"52:54:00:00:00:01"}}, true},
		"a segment":      {power.Config{MACs: []string{"52:54:00:00:00:01"}, Address: "10.1.255.255"}, true},
		"a relay's port": {power.Config{MACs: []string{"52:54:00:00:00:01"}, Address: "10.1.0.2:4009"}, true},
		"no NIC":         {power.Config{}, false},
		"no MAC":         {power.Config{MACs: []string{"lab-07"}}, false},
		"no port":        {power.Config{MACs: []string{"52:54:00:00:00:01"}, Address: "10.1.0.2:x"}, false},
	} {
		if err := Driver.Check(&c.conf); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := address(&power.Config{}, &power.Host{Broadcast: "10.0.0.255"}); got != "10.0.0.255:9" {
		t.Errorf("with no address it goes to %s", got)
	}
	if !bytes.HasPrefix(Packet(make([]byte, 6)), bytes.Repeat([]byte{0xff}, 6)) {
		t.Error("no six bytes of ones first")
	}
}
