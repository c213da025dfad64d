package qemutests

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/proc"
)

// wiretap is a running tcpdump.
type wiretap struct {
	path string
	cmd  *exec.Cmd
}

// capture starts tcpdump on a machine's tap and returns when it listens. On the bridge itself it would see what the
// sender hands the kernel, up to 44 packets in one frame; they are cut apart on their way into the tap.
func (b *bench) capture(tap, path string) (*wiretap, error) {
	cmd := proc.Command(b.ctx, "tcpdump", "-i", tap, "-n", "-U", "-s", "0", "-Z", "root", "-B", "65536", "-w", path,
		"udp")
	if err := b.listens(cmd); err != nil {
		return nil, err
	}
	return &wiretap{path: path, cmd: cmd}, nil
}

// listens starts a tcpdump in the lab and returns when it listens.
func (b *bench) listens(tcpdump *exec.Cmd) error {
	stderr, err := tcpdump.StderrPipe()
	if err != nil {
		return err
	}
	if err := b.Lab.Start(tcpdump); err != nil {
		return err
	}
	var said strings.Builder
	buf := make([]byte, 512)
	for !strings.Contains(said.String(), "listening on") {
		n, err := stderr.Read(buf)
		said.Write(buf[:n])
		if err != nil {
			return errors.New("tcpdump: " + said.String())
		}
	}
	go io.Copy(io.Discard, stderr) // ends with tcpdump
	return nil
}

func (w *wiretap) stop(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(w.cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Wait(); err != nil {
		t.Fatalf("tcpdump: %v", err)
	}
}

// packets returns the payloads of UDP packets to a group, as soon as n of them were captured.
func (w *wiretap) packets(t *testing.T, group netip.AddrPort, n int) [][]byte {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); ; <-tick.C {
		raw, err := os.ReadFile(w.path)
		if err != nil {
			t.Fatal(err)
		}
		if ps := payloads(raw, group, n); len(ps) >= n {
			return ps[:n]
		} else if time.Now().After(deadline) {
			t.Fatalf("captured %d packets to %v, want %d", len(ps), group, n)
		}
	}
}

// payloads reads a classic pcap file (https://www.tcpdump.org/manpages/pcap-savefile.5.html) of Ethernet frames.
func payloads(raw []byte, group netip.AddrPort, limit int) [][]byte {
	var out [][]byte
	if len(raw) < 24 {
		return nil
	}
	for p := raw[24:]; len(p) >= 16 && len(out) < limit; {
		n := int(binary.LittleEndian.Uint32(p[8:]))
		if len(p) < 16+n {
			break
		}
		f := p[16 : 16+n]
		p = p[16+n:]
		if len(f) < 42 || binary.BigEndian.Uint16(f[12:]) != 0x0800 || f[23] != 17 {
			continue
		}
		udp := f[14+int(f[14]&15)*4:]
		if len(udp) < 8 || netip.AddrFrom4([4]byte(f[30:34])) != group.Addr() ||
			binary.BigEndian.Uint16(udp[2:]) != group.Port() {
			continue
		}
		out = append(out, udp[8:])
	}
	return out
}

// leakPiece is how many bytes of the object are looked for at a time. What a packet carries in the clear holds many
// pieces of that length, and compressed data does not repeat one by chance.
const leakPiece = 32

// leak looks for pieces of the object in captured bytes: for every 64 bytes of the object, whether its first leakPiece
// occur anywhere. It returns where in the object the first such piece is, or -1. Left out is a piece of fewer than 16
// different bytes (zeros, counters, tables): a capture, which has the machine's whole boot in it, can hold one that is
// not the object's.
func leak(object io.ReaderAt, size int64, captured []byte) (int64, error) {
	type place struct {
		at    int64
		piece [leakPiece]byte
	}
	pieces := map[uint64]place{}
	buf := make([]byte, 1<<20)
	for off := int64(0); off < size; off += int64(len(buf)) {
		n, err := object.ReadAt(buf[:min(int64(len(buf)), size-off)], off)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		for i := 0; i+leakPiece <= n; i += 64 {
			piece := [leakPiece]byte(buf[i:])
			if distinct(piece[:]) >= 16 {
				pieces[binary.LittleEndian.Uint64(piece[:])] = place{off + int64(i), piece}
			}
		}
	}
	for i := 0; i+leakPiece <= len(captured); i++ {
		if p, ok := pieces[binary.LittleEndian.Uint64(captured[i:])]; ok &&
			bytes.Equal(p.piece[:], captured[i:i+leakPiece]) {
			return p.at, nil
		}
	}
	return -1, nil
}

// distinct counts the different bytes of b.
func distinct(b []byte) (n int) {
	var seen [256]bool
	for _, c := range b {
		if !seen[c] {
			seen[c], n = true, n+1
		}
	}
	return n
}

// TestLeak holds that the search TestWire rests on finds one packet's payload among bytes of others, wherever it
// begins, and nothing where there is none of it.
func TestLeak(t *testing.T) {
	object := make([]byte, 3<<20)
	random := rand.NewChaCha8([32]byte{1})
	random.Read(object)
	clear(object[1<<20 : 1<<20+4096]) // the zeros of the object are in every capture
	captured := make([]byte, 1<<20)
	random.Read(captured[4096:])
	if at, err := leak(bytes.NewReader(object), int64(len(object)), captured); at >= 0 || err != nil {
		t.Errorf("found %d, %v in a capture without the object", at, err)
	}
	for _, from := range []int{0, 77, 2<<20 + 13} {
		with := bytes.Clone(captured)
		copy(with[100_003:], object[from:from+1400])
		at, err := leak(bytes.NewReader(object), int64(len(object)), with)
		if want := int64(from+63) / 64 * 64; at != want || err != nil {
			t.Errorf("found %d, %v where the object's bytes from %d on were in the clear, want %d", at, err, from, want)
		}
	}
}
