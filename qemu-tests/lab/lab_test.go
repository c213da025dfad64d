package lab

import (
	"context"
	"errors"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/ipv4"

	"github.com/diskcast/diskcast/internal/testenv/need"
)

func newLab(t *testing.T, o Options) *Lab {
	t.Helper()
	need.Root(t)
	l, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func TestLabIsItsOwnNetwork(t *testing.T) {
	l := newLab(t, Options{})
	before, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Tap("n1"); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("ls", "/sys/class/net")
	var out strings.Builder
	cmd.Stdout = &out
	if err := l.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Fields(out.String()); !slices.Contains(got, Bridge) || !slices.Contains(got, "n1") ||
		slices.Contains(got, "eth0") {
		t.Fatalf("interfaces inside: %q, want %s and n1 and none of the host's", got, Bridge)
	}
	after, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	if len(before) != len(after) {
		t.Fatalf("the host had %d interfaces and has %d", len(before), len(after))
	}
}

func TestProgramsDieWithTheLab(t *testing.T) {
	l := newLab(t, Options{})
	cmd := exec.Command("sleep", "600")
	if err := l.Start(cmd); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	l.Close()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("sleep outlived its lab")
	}
	if err := l.Tap("late"); !errors.Is(err, ErrClosed) {
		t.Fatalf("got %v, want ErrClosed", err)
	}
	l.Close()
}

// TestMulticast proves that a socket opened in the lab stays there and that a group reaches a member on the bridge.
func TestMulticast(t *testing.T) {
	for _, snooping := range []bool{false, true} {
		l := newLab(t, Options{Snooping: snooping})
		var recv, send net.PacketConn
		group := &net.UDPAddr{IP: net.IPv4(239, 77, 0, 1), Port: 7700}
		err := l.Do(func() error {
			ifi, err := net.InterfaceByName(Bridge)
			if err != nil {
				return err
			}
			if recv, err = net.ListenPacket("udp4", "0.0.0.0:7700"); err != nil {
				return err
			}
			if err := ipv4.NewPacketConn(recv).JoinGroup(ifi, group); err != nil {
				return err
			}
			send, err = net.ListenPacket("udp4", "10.77.0.1:0")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		defer recv.Close()
		defer send.Close()
		if _, err := send.WriteTo([]byte("hello"), group); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		deadline, _ := ctx.Deadline()
		_ = recv.SetReadDeadline(deadline)
		buf := make([]byte, 64)
		n, _, err := recv.ReadFrom(buf)
		if err != nil || string(buf[:n]) != "hello" {
			t.Fatalf("snooping %v: got %q, %v", snooping, buf[:n], err)
		}
	}
}
