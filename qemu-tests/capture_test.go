package qemutests

import (
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/diskcast/diskcast/qemu-tests/proc"
)

// wiretap is a running tcpdump.
type wiretap struct {
	path string
	cmd  *exec.Cmd
}

// capture starts tcpdump on a machine's tap and returns when it listens. On the bridge itself it would see what the
// sender hands the kernel, up to 44 packets in one frame; they are cut apart on their way into the tap.
func (b *bench) capture(tap, path string) (*wiretap, error) {
	cmd := proc.Command(b.ctx, "tcpdump", "-i", tap, "-n", "-U", "-s", "0", "-Z", "root", "-B", "65536", "-w", path, "udp")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := b.Lab.Start(cmd); err != nil {
		return nil, err
	}
	var said strings.Builder
	buf := make([]byte, 512)
	for !strings.Contains(said.String(), "listening on") {
		n, err := stderr.Read(buf)
		said.Write(buf[:n])
		if err != nil {
			return nil, errors.New("tcpdump: " + said.String())
		}
	}
	go io.Copy(io.Discard, stderr) // ends with tcpdump
	return &wiretap{path: path, cmd: cmd}, nil
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
		if len(udp) < 8 || netip.AddrFrom4([4]byte(f[30:34])) != group.Addr() || binary.BigEndian.Uint16(udp[2:]) != group.Port() {
			continue
		}
		out = append(out, udp[8:])
	}
	return out
}

// leak looks for pieces of the object in captured bytes: for every 64 bytes of the object, whether its first 8 occur
// anywhere. It returns where in the object the first such piece is, or -1. Pieces of a single repeated byte tell nothing
// and are left out; that 8 encrypted bytes equal one of the others by chance has a probability below 1 in 100,000.
func leak(object io.ReaderAt, size int64, captured []byte) (int64, error) {
	pieces := map[uint64]int64{}
	buf := make([]byte, 1<<20)
	for off := int64(0); off < size; off += int64(len(buf)) {
		n, err := object.ReadAt(buf[:min(int64(len(buf)), size-off)], off)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		for i := 0; i+8 <= n; i += 64 {
			w := binary.LittleEndian.Uint64(buf[i:])
			if w != uint64(buf[i])*0x0101010101010101 {
				pieces[w] = off + int64(i)
			}
		}
	}
	for i := 0; i+8 <= len(captured); i++ {
		if at, ok := pieces[binary.LittleEndian.Uint64(captured[i:])]; ok {
			return at, nil
		}
	}
	return -1, nil
}
