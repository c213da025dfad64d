package dhcp

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

// withoutEnd is a request whose options end with the packet.
func withoutEnd(t testing.TB, mac string, mods ...dhcpv4.Modifier) []byte {
	whole := request(t, mac, append([]dhcpv4.Modifier{clients[1].mod}, mods...)...).ToBytes()
	return bytes.TrimSuffix(bytes.TrimRight(whole, "\x00"), []byte{255})
}

// TestDecode has packets that lack their end, or more than that.
func TestDecode(t *testing.T) {
	const mac = "52:54:00:0d:00:01"
	open := withoutEnd(t, mac)
	bootp := bytes.Clone(open)
	copy(bootp[cookieAt:], "\x00\x00\x00\x00")
	reply := bytes.Clone(open)
	reply[opAt] = byte(dhcpv4.OpcodeBootReply)
	group := bytes.Clone(open)
	group[macAt] |= 1
	with := func(b []byte, more ...byte) []byte { return append(bytes.Clone(b), more...) }
	for _, tt := range []struct {
		name   string
		packet []byte
		ok     bool
		why    string // what is said of it; empty for nothing
	}{
		{"whole", with(open, 255), true, ""},
		{"with padding behind the end", with(open, 255, 0, 0), true, ""},
		{"without the end", open, true, ""},
		{"padding in the place of the end", with(open, 0, 0), true, ""},
		{"an empty option at its end", with(open, 12, 0), true, ""},
		{"no options at all", open[:optionsAt], true, ""},
		{"an option without its length", with(open, 12), false, "its last is cut off"},
		{"an option without its value", with(open, 12, 4), false, "its last is cut off"},
		{"an option that lacks one byte", with(open, 12, 2, 'a'), false, "its last is cut off"},
		{"an option of 255 bytes that has one", with(open, 12, 255, 'a'), false, "its last is cut off"},
		{"an end within what is cut", with(open, 12, 9, 255), false, "its last is cut off"},
		{"half a header", open[:100], false, "ends after 100 bytes"},
		{"a part of the cookie", open[:optionsAt-1], false, "ends after 239 bytes"},
		{"less than a hardware address", open[:macAt+5], false, ""},
		{"nothing", nil, false, ""},
		{"BOOTP", with(bootp, 255), false, ""},
		{"a cut answer of a server", with(reply, 12), false, ""},
		{"a group's address", with(group, 12), false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := decode(tt.packet)
			if (err == nil) != tt.ok {
				t.Fatalf("decoded %v, %v", m, err)
			}
			if tt.ok {
				return
			}
			of, why := cut(tt.packet)
			if (why != nil) != (tt.why != "") || why != nil && !strings.Contains(why.Error(), tt.why) {
				t.Errorf("said: %v, want %q", why, tt.why)
			}
			if why != nil && of.String() != mac {
				t.Errorf("said of %v, want %s", of, mac)
			}
		})
	}
}

// TestRequestWithoutEnd is answered as one that has its end.
func TestRequestWithoutEnd(t *testing.T) {
	var ends [2]*net.UDPConn
	for i := range ends {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ends[i] = c
	}
	server, client := ends[0], ends[1]
	s := NewServer("none", testResponder(t, testConfig(t, Proxy)))
	open := withoutEnd(t, "52:54:00:0d:00:01", dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest))
	var got [2][]byte
	for i, packet := range [][]byte{open, append(bytes.Clone(open), 255)} {
		s.handle(t.Context(), server, ProxyPort, client.LocalAddr().(*net.UDPAddr), packet)
		if err := client.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4096)
		n, err := client.Read(buf)
		if err != nil {
			t.Fatalf("packet %d: no answer: %v", i, err)
		}
		got[i] = buf[:n]
	}
	if diff := cmp.Diff(got[1], got[0]); diff != "" {
		t.Errorf("the answers differ (-with the end, +without):\n%s", diff)
	}
}

// TestCutRequestIsSaid names a machine once, again when it is later, and not all of a flood.
func TestCutRequestIsSaid(t *testing.T) {
	var out bytes.Buffer
	cfg := testConfig(t, Full)
	cfg.Log = slog.New(slog.NewTextHandler(&out, nil))
	s := NewServer("none", testResponder(t, cfg))
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s.undecoded.now = func() time.Time { return now }
	send := func(mac string) int {
		out.Reset()
		s.handle(t.Context(), nil, ServerPort, nil, append(withoutEnd(t, mac), 12))
		return strings.Count(out.String(), "\n")
	}
	const mac = "52:54:00:0d:00:01"
	const want = "level=WARN msg=\"DHCP request not answered\" mac=" + mac
	if n := send(mac); n != 1 || !strings.Contains(out.String(), want) || !strings.Contains(out.String(), "cut off") {
		t.Errorf("%d lines: %s", n, &out)
	}
	if n := send(mac); n != 0 {
		t.Errorf("said again at once: %s", &out)
	}
	now = now.Add(sayAgain)
	if n := send(mac); n != 1 {
		t.Errorf("%d lines an hour later", n)
	}
	lines := 0
	for i := range 1000 {
		lines += send(fmt.Sprintf("02:00:00:00:%02x:%02x", i>>8, i&255))
	}
	if lines != maxStrangers-1 || len(s.undecoded.said) > maxStrangers {
		t.Errorf("a flood made %d lines and is remembered as %d machines", lines, len(s.undecoded.said))
	}
	now = now.Add(sayAgain)
	if n := send(mac); n != 1 || len(s.undecoded.said) != 1 {
		t.Errorf("%d lines after the flood, %d machines are remembered", n, len(s.undecoded.said))
	}
}
