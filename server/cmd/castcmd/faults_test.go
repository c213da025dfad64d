package castcmd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/cast"
	"github.com/diskcast/diskcast/internal/testenv/awaited"
	"github.com/diskcast/diskcast/internal/testenv/netlab"
	"github.com/diskcast/diskcast/internal/testenv/netlab/netlabtest"
	"github.com/diskcast/diskcast/server/cmd/ui"
)

// sending is a `cast send` of a file in a lab.
type sending struct {
	t      *testing.T
	l      *netlab.Lab
	ctx    context.Context
	out    *awaited.Output
	err    *awaited.Output
	ended  chan error
	ticket string
}

func startSending(t *testing.T, file string, more ...string) *sending {
	t.Helper()
	l := netlabtest.New(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	s := &sending{t: t, l: l, ctx: ctx, out: awaited.New(), err: awaited.New(), ended: make(chan error, 1)}
	go func() {
		s.ended <- l.Do(l.Node(0), func() error {
			return execute(ctx, nil, s.out, s.err, append([]string{"send", file, "--interface", "eth0"}, more...)...)
		})
	}()
	var err error
	if s.ticket, err = s.out.Line(ctx, "diskcast2."); err != nil {
		t.Fatal(err, s.err.String())
	}
	return s
}

func (s *sending) receive(ctx context.Context, node int, more ...string) <-chan error {
	done := make(chan error, 1)
	go func() {
		done <- s.l.Do(s.l.Node(node), func() error {
			return execute(ctx, nil, io.Discard, io.Discard,
				append([]string{"recv", s.ticket, "--interface", "eth0"}, more...)...)
		})
	}()
	return done
}

// joined waits for receivers at the addresses.
func (s *sending) joined(addrs ...string) {
	s.t.Helper()
	for _, a := range addrs {
		if _, err := s.err.Line(s.ctx, "at "+a); err != nil {
			s.t.Fatal(err)
		}
	}
}

func randomFile(t *testing.T, n int) string {
	t.Helper()
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{7}).Read(b)
	file := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestFileChanges: what changes while it is sent ends in an error at both ends, whether the bytes were already read or
// not.
func TestFileChanges(t *testing.T) {
	for name, change := range map[string]func(file string) error{
		"rewritten": func(file string) error {
			f, err := os.OpenFile(file, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt([]byte("other"), 100)
			return errors.Join(err, f.Close())
		},
		"truncated": func(file string) error { return os.Truncate(file, 1<<20) },
		"longer":    func(file string) error { return os.Truncate(file, 9<<20) },
		"time put back": func(file string) error {
			st, err := os.Stat(file)
			if err != nil {
				return err
			}
			return errors.Join(os.WriteFile(file, make([]byte, st.Size()), 0o600),
				os.Chtimes(file, st.ModTime(), st.ModTime()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := randomFile(t, 6<<20)
			s := startSending(t, file, "--rate", "30M", "--min-receivers", "2")
			d1, d2 := s.receive(s.ctx, 1), s.receive(s.ctx, 2, "-o", filepath.Join(t.TempDir(), "out"))
			s.joined("10.77.0.2", "10.77.0.3")
			if err := change(file); err != nil {
				t.Fatal(err)
			}
			for _, d := range []<-chan error{d1, d2} {
				if err := <-d; !errors.Is(err, cast.ErrEnded) {
					t.Errorf("receiver: %v", err)
				}
			}
			if err := <-s.ended; err == nil || !strings.Contains(err.Error(), file) ||
				!strings.Contains(err.Error(), "send it again") {
				t.Errorf("sender: %v", err)
			}
		})
	}
}

// TestResumeOther: a ticket goes on with the same file only.
func TestResumeOther(t *testing.T) {
	file := randomFile(t, 3<<20)
	s := startSending(t, file)
	line, err := s.err.Line(s.ctx, "--ticket ")
	if err != nil {
		t.Fatal(err)
	}
	_, ticket, _ := strings.Cut(line, "--ticket ")
	if err := <-s.receive(s.ctx, 1); err != nil {
		t.Fatal(err)
	}
	if err := <-s.ended; err != nil {
		t.Fatal(err)
	}
	resume := func(file, want string) {
		t.Helper()
		src, err := openSource(t.Context(), sendFlags{}, file, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer src.close()
		_, _, err = (&sendFlags{ticket: ticket}).params(t.Context(), src)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	resume(file, "")
	st, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, make([]byte, st.Size()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(other, st.ModTime(), st.ModTime()); err != nil {
		t.Fatal(err)
	}
	resume(other, "has other bytes")
	if err := os.Chtimes(file, time.Now(), st.ModTime().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	resume(file, "was written to")
}

// TestReceiverGone: a sender whose receiver did not get everything says which, and fails.
func TestReceiverGone(t *testing.T) {
	s := startSending(t, randomFile(t, 6<<20), "--rate", "30M", "--min-receivers", "2")
	ctx, kill := context.WithCancel(s.ctx)
	defer kill()
	one, two := s.receive(ctx, 1, "--label", "one"), s.receive(s.ctx, 2, "--label", "two")
	s.joined("10.77.0.2", "10.77.0.3")
	kill()
	if err := <-one; err == nil {
		t.Error("a receiver that was stopped is content")
	}
	if err := <-two; err != nil {
		t.Error(err)
	}
	err := <-s.ended
	if err == nil || !strings.Contains(err.Error(), "1 of 2 receivers have not everything: one at 10.77.0.2") {
		t.Errorf("sender: %v", err)
	}
}

// TestLabelsOfStrangers: nothing that a receiver calls itself reaches a terminal or a log as more than one printable
// line.
func TestLabelsOfStrangers(t *testing.T) {
	peer := cast.Peer{ID: 1, Label: "x\x1b]0;owned\x07\u202e\u009b2J\ny", Addr: netip.MustParseAddrPort("10.0.0.2:5"),
		State: "gone", Suspicion: "\x1b[2J"}
	for _, asJSON := range []bool{false, true} {
		var out bytes.Buffer
		p := newProgress(&ui.UI{Err: &out, JSON: asJSON}, 100)
		p.event(cast.Event{Kind: "slow", Peer: peer, Why: peer.Label})
		p.line("error", peer.Label)
		st := cast.SenderStats{Receivers: []cast.Peer{peer}, Suspicion: peer.Label}
		p.sender(st)
		p.senderDone(st, newArrivals().unfinished(st))
		p.receiver(cast.ReceiverStats{Suspicion: peer.Label})
		p.receiverDone(cast.ReceiverStats{Suspicion: peer.Label}, errors.New(peer.Label))
		for _, bad := range []string{"\x1b", "\x07", "\u202e", "\u009b", `\u001b`, `\u202e`, "\ny"} {
			if strings.Contains(out.String(), bad) {
				t.Errorf("json %v: %q is in %q", asJSON, bad, out.String())
			}
		}
	}
	if err := newArrivals().unfinished(cast.SenderStats{Receivers: []cast.Peer{peer}}); err == nil ||
		strings.ContainsAny(err.Error(), "\x1b\n\u202e") {
		t.Errorf("got %q", err)
	}
}
