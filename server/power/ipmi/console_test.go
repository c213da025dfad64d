package ipmi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/awaited"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/power"
	"github.com/diskcast/diskcast/server/power/console"
	"github.com/diskcast/diskcast/server/power/ipmi"
	"github.com/diskcast/diskcast/server/power/redfish"
)

// serial is a machine's serial port, as the simulator's BMC has it: a TCP connection to us.
type serial struct {
	t    *testing.T
	conn net.Conn
}

// newSerial is a simulator's BMC with a serial port.
func newSerial(t *testing.T, address string) (*sim, *serial) {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	s := newSimAt(t, address, fmt.Sprintf(`  sol "tcp:127.0.0.1:%s" 115200`, port))
	if err := ln.(*net.TCPListener).SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	c, err := ln.Accept()
	if err != nil {
		t.Fatalf("the simulator does not open its serial port: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	// It has its LAN port a moment later.
	if _, err := s.do(t, user, password, func(ctx context.Context, m *power.Machine) (*power.Outcome, error) {
		_, err := m.State(ctx)
		return nil, err
	}); err != nil {
		t.Fatal(err)
	}
	return s, &serial{t, c}
}

func (s *serial) print(text string) {
	s.t.Helper()
	if _, err := io.WriteString(s.conn, text); err != nil {
		s.t.Fatal(err)
	}
}

// typed waits for what is typed.
func (s *serial) typed(want string) {
	s.t.Helper()
	got := make([]byte, len(want))
	if err := s.conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	if n, err := io.ReadFull(s.conn, got); err != nil || string(got) != want {
		s.t.Fatalf("typed %q, %v; want %q", got[:n], err, want)
	}
}

// printTime is how long a console may take to print what was sent.
const printTime = 30 * time.Second

// TestConsole: what the machine prints comes, what is typed goes, bytes as they are; a second console is refused while
// the first is open, and there is one again when it has ended.
func TestConsole(t *testing.T) {
	s, port := newSerial(t, "127.0.0.1:0")
	conf := &power.Config{Machine: "m1", Address: s.address, User: user, Password: password}
	host := func() *power.Host { return &power.Host{Gate: power.NewGate(0)} }
	for round := range 2 {
		in, keys := io.Pipe()
		out := awaited.New()
		opened := make(chan struct{})
		done := make(chan error, 1)
		ctx, stop := context.WithCancel(t.Context())
		go func() { // ends with stop
			done <- ipmi.Driver.Console(ctx, conf, host(), in, out, func() { close(opened) })
		}()
		select {
		case <-opened:
		case err := <-done:
			t.Fatalf("round %d: %v", round, err)
		}
		port.print("login: \x1b[1m\xff")
		out.Wait(t, "login: \x1b[1m\xff", 1, printTime)
		if _, err := io.WriteString(keys, "root\r\x03\x00"); err != nil {
			t.Fatal(err)
		}
		port.typed("root\r\x03\x00")
		many := strings.Repeat("a line of a boot, of which there are many\r\n", 300)
		port.print(many)
		out.Wait(t, many, 1, printTime)
		err := ipmi.Driver.Console(t.Context(), conf, host(), strings.NewReader(""), io.Discard, func() {})
		if power.WordOf(err) != power.Refused || !strings.Contains(err.Error(), "somebody has its console already") ||
			!strings.Contains(err.Error(), "after a restart of this server") {
			t.Errorf("a second console: %v", err)
		}
		if round == 0 {
			stop()
			if err := <-done; err != context.Canceled {
				t.Errorf("a console that was ended: %v", err)
			}
		} else {
			_ = keys.CloseWithError(power.ErrConsoleEnds)
			if err := <-done; err != nil {
				t.Errorf("a console that was left: %v", err)
			}
			stop()
		}
	}
}

// TestConsoleOfRedfish: a machine whose power is set up by Redfish has its console by IPMI at the same host.
func TestConsoleOfRedfish(t *testing.T) {
	need.Root(t) // for port 623
	const host = "127.62.3.1"
	_, port := newSerial(t, host+":623")
	for _, address := range []string{host, "https://" + host, host + ":8443"} {
		in, keys := io.Pipe()
		out := awaited.New()
		opened, done := make(chan struct{}), make(chan error, 1)
		conf := &power.Config{Machine: "m1", Address: address, User: user, Password: password}
		go func() { // ends with its keys
			done <- redfish.Driver.Console(t.Context(), conf, &power.Host{Gate: power.NewGate(0)}, in, out,
				func() { close(opened) })
		}()
		select {
		case <-opened:
		case err := <-done:
			t.Fatalf("%s: %v", address, err)
		}
		port.print("by " + address + "\r\n")
		out.Wait(t, "by "+address, 1, printTime)
		if _, err := io.WriteString(keys, "x"); err != nil {
			t.Fatal(err)
		}
		port.typed("x")
		_ = keys.CloseWithError(power.ErrConsoleEnds)
		if err := <-done; err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	err := redfish.Driver.Console(t.Context(), &power.Config{Address: host, User: user,
		Password: strings.Repeat("x", ipmi.MaxPassword+1)}, &power.Host{Gate: power.NewGate(0)}, strings.NewReader(""),
		io.Discard, func() {})
	if power.WordOf(err) != power.Cannot || !strings.Contains(err.Error(), "passwords 20") {
		t.Errorf("a password that is too long for IPMI: %v", err)
	}
}

// TestTake: who takes a console ends the session that the BMC gave it to, which is not ours to know of; that one breaks
// off, and its end leaves the new one alone.
func TestTake(t *testing.T) {
	s, port := newSerial(t, "127.0.0.1:0")
	conf := &power.Config{Machine: "m1", Address: s.address, User: user, Password: password}
	open := func(take bool) (*awaited.Output, *io.PipeWriter, chan error) {
		t.Helper()
		in, keys := io.Pipe()
		t.Cleanup(func() { _ = keys.CloseWithError(power.ErrConsoleEnds) })
		out := awaited.New()
		opened, done := make(chan struct{}), make(chan error, 1)
		go func() { // ends with its keys, or when it is taken
			done <- ipmi.Driver.Console(t.Context(), conf, &power.Host{Gate: power.NewGate(0), Take: take}, in, out,
				func() { close(opened) })
		}()
		select {
		case <-opened:
		case err := <-done:
			t.Fatalf("take %v: %v", take, err)
		}
		return out, keys, done
	}
	first, _, lost := open(true) // nobody has it
	port.print("one\r\n")
	first.Wait(t, "one\r\n", 1, printTime)
	second, keys, done := open(true)
	port.print("two\r\n")
	second.Wait(t, "two\r\n", 1, printTime)
	select {
	case err := <-lost:
		if power.WordOf(err) != power.Frozen || !strings.Contains(err.Error(), "somebody else took it") {
			t.Errorf("who had it hears %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("who had it hears nothing")
	}
	port.print("three\r\n")
	second.Wait(t, "three\r\n", 1, printTime)
	if _, err := io.WriteString(keys, "x"); err != nil {
		t.Fatal(err)
	}
	port.typed("x")
	_ = keys.CloseWithError(power.ErrConsoleEnds)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// wire is the way to a BMC, on which packets may be lost.
type wire struct {
	address string
	dead    atomic.Bool
	asks    chan struct{} // a packet went to the BMC
}

// acknowledged waits until what the BMC sent has been answered for certain: polls follow one another. OpenIPMI's
// simulator prints nothing in its next session when this one ended before.
func (w *wire) acknowledged(t *testing.T) {
	t.Helper()
	limit := time.After(printTime)
	for range cap(w.asks) + 3 { // those of before, and some
		select {
		case <-w.asks:
		case <-limit:
			t.Fatal("nothing more was sent to the BMC")
		}
	}
}

// newWire is a way to an address that ends with the test.
func newWire(t *testing.T, to string) *wire {
	t.Helper()
	near, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{address: near.LocalAddr().String(), asks: make(chan struct{}, 1)}
	var mu sync.Mutex
	far := map[string]net.Conn{} // by who asks
	t.Cleanup(func() {
		near.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range far {
			c.Close()
		}
	})
	go func() { // ends with near
		buf := make([]byte, 2048)
		for {
			n, from, err := near.ReadFrom(buf)
			if err != nil {
				return
			}
			mu.Lock()
			c := far[from.String()]
			if c == nil {
				if c, err = net.Dial("udp4", to); err != nil {
					mu.Unlock()
					return
				}
				far[from.String()] = c
				go func() { // ends with c
					buf := make([]byte, 2048)
					for {
						n, err := c.Read(buf)
						if err != nil {
							return
						}
						if !w.dead.Load() {
							_, _ = near.WriteTo(buf[:n], from)
						}
					}
				}()
			}
			mu.Unlock()
			if !w.dead.Load() {
				_, _ = c.Write(buf[:n])
				select {
				case w.asks <- struct{}{}:
				default:
				}
			}
		}
	}()
	return w
}

// TestAgain: a console whose packets are lost for a while breaks off and is opened again by itself; what is typed then
// comes once.
func TestAgain(t *testing.T) {
	s, port := newSerial(t, "127.0.0.1:0")
	w := newWire(t, s.address)
	conf := &power.Config{Machine: "m1", Address: w.address, User: user, Password: password}
	consoles := console.New(slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- consoles.Run(ctx) }() // ends with the test
	t.Cleanup(func() { stop(); <-done })
	<-consoles.Ready()
	if _, err := consoles.Open("m1", "ann", false, func(ctx context.Context, in io.Reader, out io.Writer,
		opened func()) error {
		return ipmi.Driver.Console(ctx, conf, &power.Host{Gate: power.NewGate(0)}, in, out, opened)
	}); err != nil {
		t.Fatal(err)
	}
	all, after, state := "", uint64(0), doc.ConsoleOpening
	until := func(so func(*doc.Console) bool) {
		t.Helper()
		ctx, stop := context.WithTimeout(t.Context(), 3*time.Minute)
		defer stop()
		for {
			v, err := consoles.Read(ctx, "m1", "ann", after, true, state)
			if err != nil {
				t.Fatal(err)
			}
			all, after, state = all+v.Text, v.Next, v.State
			if so(v) {
				return
			}
			if ctx.Err() != nil || v.State == doc.ConsoleClosed {
				t.Fatalf("%q, %+v", all, v)
			}
		}
	}
	printed := func(text string) func(*doc.Console) bool {
		return func(*doc.Console) bool { return strings.Contains(all, text) }
	}
	until(func(v *doc.Console) bool { return v.State == doc.ConsoleGoes })
	port.print("one\r\n")
	until(printed("one\n"))
	w.acknowledged(t)
	began := time.Now()
	w.dead.Store(true)
	until(printed("broke off"))
	if err := consoles.Type("m1", "ann", []byte("x")); !errors.Is(err, console.ErrGap) {
		t.Errorf("typed while it is broken off: %v", err)
	}
	w.dead.Store(false)
	until(func(v *doc.Console) bool { return v.Breaks == 1 && v.State == doc.ConsoleGoes })
	t.Logf("it is open again %v after packets were lost", time.Since(began).Round(time.Second))
	if err := consoles.Type("m1", "ann", []byte("root\r")); err != nil {
		t.Fatal(err)
	}
	port.typed("root\r")
	port.print("two\r\n")
	until(printed("two\n"))
}
