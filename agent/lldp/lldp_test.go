package lldp

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/testenv/nettest"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Data units: the first two are of real switches, as others captured them.
const (
	cumulus = "02 07 04 0001e8d80f25 04 06 05 7377703133 06 02 0078 0a 07 63756d756c7573 0c 34 " +
		"43756d756c7573204c696e75782076657273696f6e20322e352e312072756e6e696e67206f6e20646e692065742d373434386266 " +
		"0e 04 00140014 08 05 7377703133 0000"
	nexus = "02 07 04 000573f34d4a 04 07 07 457468312f33 06 02 0078 08 0b 45746865726e6574312f33 " +
		"0a 0c 4e354b2d352d4c6162332d33 0000"
	juniper = "02 07 04 3c8ab0112233 04 0b 05 67652d302f302f37 00 00 06 02 0078 0a 03 737731 0000"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, frame  string
		device, port string
	}{
		{"Cumulus", cumulus, "cumulus", "swp13"},
		{"Nexus", nexus, "N5K-5-Lab3-3", "Eth1/3"},
		{"a name that is filled up with zeros", juniper, "sw1", "ge-0/0/7"},
		{"no name", "0207040001020304050404 05312f33 06020078 0000", "00:01:02:03:04:05", "1/3"},
		{"a port that is an address, with a description",
			"020704000102030405 040703aabbccddeeff 06020078 080473777037 0000",
			"00:01:02:03:04:05", "swp7"},
		{"a port that is an address", "020704000102030405 040703aabbccddeeff 06020078 0000", "00:01:02:03:04:05",
			"aa:bb:cc:dd:ee:ff"},
		{"IPv4", "020605010a000001 04020737 06020078 0000", "10.0.0.1", "7"},
		{"bytes that are no text", "0204070102ff 04020737 06020078 0000", "0102ff", "7"},
		{"no end", "020704000102030405 04020737 06020078", "00:01:02:03:04:05", "7"},
		{"filled up to the least frame", "020704000102030405 04020737 06020078 0000" + strings.Repeat("00", 30),
			"00:01:02:03:04:05", "7"},
	} {
		n, err := Parse(unhex(t, c.frame))
		if err != nil || n.Switch != c.device || n.Port != c.port {
			t.Errorf("%s: %+v, %v; want %s, %s", c.name, n, err, c.device, c.port)
		}
	}
	for name, frame := range map[string]string{
		"nothing": "", "one byte": "02", "cut": "0207040001",
		"another order": "04020737 020704000102030405 06020078 0000",
		"no port":       "020704000102030405 06020078 0000", "no TTL": "020704000102030405 04020737 0000",
		"two chassis":      "020704000102030405 04020737 06020078 020704000102030405 0000",
		"a short TTL":      "020704000102030405 04020737 060178 0000",
		"an empty id":      "0200 04020737 06020078 0000",
		"too many":         "020704000102030405 04020737 06020078" + strings.Repeat("0c00", maxTLVs),
		"longer than any":  strings.Repeat("00", maxFrame+1),
		"a port of zeros":  "020704000102030405 0403070000 06020078 0000",
		"a TLV beyond end": "020704000102030405 04020737 06020078 0aff61",
	} {
		if n, err := Parse(unhex(t, frame)); !errors.Is(err, errFormat) {
			t.Errorf("%s: %+v, %v", name, n, err)
		}
	}
	if _, err := Parse(unhex(t, "020704000102030405 04020737 06020000 0000")); !errors.Is(err, ErrShutdown) {
		t.Errorf("TTL 0: %v", err)
	}
}

// FuzzParse: whatever comes, names are short text.
func FuzzParse(f *testing.F) {
	for _, s := range []string{cumulus, nexus, juniper, "020605010a000001 04020737 06020078 0000"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := Parse(bytes.Clone(b))
		if err != nil {
			return
		}
		for _, s := range []string{n.Switch, n.Port} {
			if s == "" || len(s) > maxName || !utf8.ValidString(s) || !printable([]byte(s)) {
				t.Errorf("%q", s)
			}
		}
	})
}

// TestHear: a frame that goes to the neighbours' address of an interface is heard there; what is none is passed over.
func TestHear(t *testing.T) {
	lan := nettest.New(t)
	heard, odd := make(chan *Neighbour, 1), make(chan error, 10)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var f *os.File
	var err error
	lan.DoClient(func() { f, err = open(nettest.Client) })
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	done := make(chan error, 1)
	go func() {
		n, err := hear(ctx, f, func(err error) { odd <- err })
		heard <- n
		done <- err
	}()
	lan.Do(func() {
		for _, s := range []string{"0207", cumulus} {
			err = errors.Join(err, send(nettest.Server, unhex(t, s)))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := <-heard; *n != (Neighbour{Switch: "cumulus", Port: "swp13"}) {
		t.Errorf("%+v", n)
	}
	if err := <-odd; !errors.Is(err, errFormat) {
		t.Error(err)
	}
}

// send sends a data unit as a bridge does.
func send(nic string, unit []byte) error {
	iface, err := net.InterfaceByName(nic)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	to := &unix.SockaddrLinklayer{Protocol: 0xcc88, Ifindex: iface.Index, Halen: 6}
	copy(to.Addr[:], groups[0][:])
	return unix.Sendto(fd, unit, 0, to)
}

// TestHearEnds: who waits for a switch that says nothing is let go.
func TestHearEnds(t *testing.T) {
	need.Root(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if n, err := Hear(ctx, "lo", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%+v, %v", n, err)
	}
	if _, err := Hear(ctx, "none0", nil); err == nil || !strings.Contains(err.Error(), "none0") {
		t.Error(err)
	}
}
