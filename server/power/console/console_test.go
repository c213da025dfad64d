package console

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/power"
)

// bmc is a BMC with one console, which echoes what is typed.
type bmc struct {
	mu   sync.Mutex
	busy bool
	twos int // how often two had it
	out  chan string
	// refuse is why it gives nobody its console.
	refuse error
	tried  chan struct{} // closed when it refused; nil: nobody waits for that
}

func (b *bmc) attach(ctx context.Context, in io.Reader, out io.Writer, opened func()) error {
	b.mu.Lock()
	if b.busy {
		b.twos++
	}
	if b.refuse != nil {
		defer b.mu.Unlock()
		if b.tried != nil {
			close(b.tried)
			b.tried = nil
		}
		return b.refuse
	}
	b.busy = true
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.busy = false
	}()
	opened()
	typed := make(chan error, 1)
	go func() { // ends with in
		buf := make([]byte, 64)
		for {
			n, err := in.Read(buf)
			if n > 0 {
				_, _ = out.Write(buf[:n])
			}
			if err != nil {
				typed <- err
				return
			}
		}
	}()
	for {
		select {
		case text := <-b.out:
			if text == "broken" {
				return power.Fail(power.Frozen, "the console broke off")
			}
			if _, err := io.WriteString(out, text); err != nil {
				return err
			}
		case err := <-typed:
			if errors.Is(err, power.ErrConsoleEnds) {
				return ctx.Err()
			}
			return err
		}
	}
}

func newConsoles(t *testing.T) *Consoles {
	t.Helper()
	c := New(slog.New(slog.DiscardHandler))
	c.waits = nil
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }() // ends with the test
	t.Cleanup(func() { stop(); <-done })
	<-c.Ready()
	return c
}

// until reads until f is so, and returns all that was printed meanwhile.
func until(t *testing.T, c *Consoles, by string, text bool, f func(all string, v *doc.Console) bool) (string,
	*doc.Console) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	var all strings.Builder
	state := doc.ConsoleOpening
	for after := uint64(0); ; {
		v, err := c.Read(ctx, "m1", by, after, text, state)
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(string(v.Data) + v.Text)
		after, state = v.Next, v.State
		if f(all.String(), v) {
			return all.String(), v
		}
		if ctx.Err() != nil || v.State == doc.ConsoleClosed {
			t.Fatalf("%q, %+v", all.String(), v)
		}
	}
}

func printed(want string) func(string, *doc.Console) bool {
	return func(all string, _ *doc.Console) bool { return strings.Contains(all, want) }
}

func ended(_ string, v *doc.Console) bool { return v.State == doc.ConsoleClosed }

// TestConsole: one console a machine: whose it is reads and types, others hear whose it is, and may take it; it ends
// when it is closed, when it breaks, and when nobody looks.
func TestConsole(t *testing.T) {
	c, b := newConsoles(t), &bmc{out: make(chan string)}
	if _, err := c.Read(t.Context(), "m1", "ann", 0, false, ""); !errors.Is(err, ErrNone) {
		t.Errorf("before it is opened: %v", err)
	}
	if err := c.Type("m1", "ann", []byte("x")); !errors.Is(err, ErrNone) {
		t.Errorf("typed before it is opened: %v", err)
	}
	if _, err := c.Open("m1", "ann", false, b.attach); err != nil {
		t.Fatal(err)
	}
	b.out <- "\x1b[1mlogin:\x1b[0m é\xff"
	if all, _ := until(t, c, "ann", true, printed("login:")); !strings.HasPrefix(all, "login: é\ufffd") {
		t.Errorf("as text: %q", all)
	}
	if all, _ := until(t, c, "ann", false, printed("é\xff")); all != "\x1b[1mlogin:\x1b[0m é\xff" {
		t.Errorf("as it is: %q", all)
	}
	if err := c.Type("m1", "ann", []byte("root\r")); err != nil {
		t.Fatal(err)
	}
	until(t, c, "ann", false, printed("root\r"))
	if again, err := c.Open("m1", "ann", false, b.attach); err != nil || again.State != doc.ConsoleGoes {
		t.Errorf("opened again by whose it is: %+v, %v", again, err)
	}
	for _, f := range []func() error{
		func() error { _, err := c.Open("m1", "bob", false, b.attach); return err },
		func() error { _, err := c.Read(t.Context(), "m1", "bob", 0, false, ""); return err },
		func() error { return c.Type("m1", "bob", []byte("x")) },
		func() error { return c.Close("m1", "bob") },
	} {
		if err := f(); !errors.Is(err, ErrOther) || !strings.Contains(err.Error(), "ann") {
			t.Errorf("somebody else: %v", err)
		}
	}
	if _, err := c.Open("m1", "bob", true, b.attach); err != nil {
		t.Fatal(err)
	}
	if err := c.Type("m1", "ann", []byte("x")); !errors.Is(err, ErrOther) {
		t.Errorf("typed at a console that was taken: %v", err)
	}
	until(t, c, "bob", false, func(_ string, v *doc.Console) bool { return v.State == doc.ConsoleGoes })
	b.out <- "broken"
	if _, v := until(t, c, "bob", false, ended); !strings.Contains(v.Error, "broke off") {
		t.Errorf("a console that broke: %+v", v)
	}
	if _, err := c.Open("m1", "bob", false, b.attach); err != nil {
		t.Fatal(err)
	}
	if err := c.Close("m1", "bob"); err != nil {
		t.Fatal(err)
	}
	if _, v := until(t, c, "bob", false, ended); v.Error != "" {
		t.Errorf("a console that was closed: %+v", v)
	}
	if err := c.Close("m1", "bob"); !errors.Is(err, ErrNone) {
		t.Errorf("closed again: %v", err)
	}
	b.refuse = power.Fail(power.Refused, "switched off in it")
	if _, err := c.Open("m1", "bob", false, b.attach); err != nil {
		t.Fatal(err)
	}
	if _, v := until(t, c, "bob", false, ended); !strings.Contains(v.Error, "switched off in it") {
		t.Errorf("a console that is refused: %+v", v)
	}
	b.refuse = nil
	c.idle = 30 * time.Millisecond
	if _, err := c.Open("m1", "bob", false, b.attach); err != nil {
		t.Fatal(err)
	}
	x := c.open["m1"]
	<-x.gone // nobody looks at it meanwhile
	if v, err := c.Read(t.Context(), "m1", "bob", 0, false, ""); err != nil || !strings.Contains(v.Error,
		"nobody looked") {
		t.Errorf("a console that nobody looks at: %+v, %v", v, err)
	}
	if b.twos != 0 {
		t.Errorf("the BMC was asked for a second console %d times", b.twos)
	}
}

// TestBounds: what is kept, what is typed and how many are open has bounds; what is lost is said.
func TestBounds(t *testing.T) {
	c, b := newConsoles(t), &bmc{out: make(chan string)}
	if _, err := c.Open("m1", "ann", false, b.attach); err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("é", 500) + "\n"
	for range 1000 {
		b.out <- line
	}
	b.out <- "the end"
	for _, text := range []bool{false, true} {
		ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
		all, lost := "", uint64(0)
		for after := uint64(0); !strings.HasSuffix(all, "the end"); {
			v, err := c.Read(ctx, "m1", "ann", after, text, "")
			if err != nil || ctx.Err() != nil {
				t.Fatalf("%v, %v", err, ctx.Err())
			}
			part := string(v.Data) + v.Text
			if len(part) > partBytes || text && strings.Contains(part, "\ufffd") {
				t.Fatalf("a part of %d bytes: %.40q", len(part), part)
			}
			all, lost, after = all+part, lost+v.Lost, v.Next
		}
		stop()
		if got, want := uint64(len(all))+lost, uint64(1000*len(line)+7); got != want || len(all) > keptBytes*5/4+7 {
			t.Errorf("text %v: %d bytes and %d lost, want %d, and no more than %d kept", text, len(all), lost, want,
				keptBytes*5/4)
		}
	}
	v, err := c.Read(t.Context(), "m1", "ann", 1<<40, false, "")
	if err != nil || v.Next > 1<<40 {
		t.Errorf("a place of another console: %+v, %v", v, err)
	}
	k := newKeyboard()
	if err := errors.Join(k.add(make([]byte, maxQueued)), k.add([]byte("x"))); !errors.Is(err, ErrFull) {
		t.Errorf("too much typed: %v", err)
	}
	for n := 1; n < maxOpen; n++ {
		if _, err := c.Open(strings.Repeat("m", n+2), "ann", false, b.attach); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Open("more", "ann", false, b.attach); !errors.Is(err, ErrMany) {
		t.Errorf("too many: %v", err)
	}
}

// TestAgain: a console that breaks off is opened again by itself, so often and no more; that is said among what the
// machine printed, nothing is typed meanwhile, and what its BMC did not take is in no later session.
func TestAgain(t *testing.T) {
	c, b := newConsoles(t), &bmc{out: make(chan string)}
	c.waits = []time.Duration{time.Millisecond, time.Millisecond, time.Hour}
	if _, err := c.Open("m1", "ann", false, b.attach); err != nil {
		t.Fatal(err)
	}
	goes := func(n int) func(string, *doc.Console) bool {
		return func(_ string, v *doc.Console) bool { return v.State == doc.ConsoleGoes && v.Breaks == n }
	}
	until(t, c, "ann", true, goes(0))
	if err := c.Type("m1", "ann", []byte("once\r")); err != nil {
		t.Fatal(err)
	}
	until(t, c, "ann", true, printed("once"))
	b.out <- "broken"
	all, v := until(t, c, "ann", true, goes(1))
	if v.Error != "" || !strings.Contains(all, "[diskcast: frozen: the console broke off; what was typed last may "+
		"not have come]\n") || !strings.Contains(all, "[diskcast: it is open again after ") ||
		strings.Count(all, "once") != 1 {
		t.Errorf("%q, %+v", all, v)
	}
	b.out <- "login: "
	until(t, c, "ann", false, printed("login: "))
	if err := c.Type("m1", "ann", []byte("twice\r")); err != nil {
		t.Fatal(err)
	}
	until(t, c, "ann", true, printed("twice"))

	tried := make(chan struct{})
	b.mu.Lock()
	b.refuse, b.tried = power.Fail(power.Refused, "somebody has its console already"), tried
	b.mu.Unlock()
	b.out <- "broken"
	<-tried
	all, v = until(t, c, "ann", true, func(_ string, v *doc.Console) bool {
		return strings.Contains(v.Error, "somebody has its console already")
	})
	if v.State != doc.ConsoleOpening || strings.Count(all, "broke off") != 2 {
		t.Errorf("%q, %+v", all, v)
	}
	if err := c.Type("m1", "ann", []byte("x")); !errors.Is(err, ErrGap) {
		t.Errorf("typed while it is broken off: %v", err)
	}
	if err := c.Close("m1", "ann"); err != nil {
		t.Fatal(err)
	}
	if _, v = until(t, c, "ann", false, ended); v.Error != "" || v.Again {
		t.Errorf("closed while it is broken off: %+v", v)
	}

	b.mu.Lock()
	b.refuse, b.tried = nil, nil
	b.mu.Unlock()
	c.waits = []time.Duration{time.Millisecond, time.Millisecond}
	if _, err := c.Open("m1", "ann", false, b.attach); err != nil {
		t.Fatal(err)
	}
	until(t, c, "ann", false, goes(0))
	b.mu.Lock()
	b.refuse = power.Fail(power.Silent, "nothing answers")
	b.mu.Unlock()
	b.out <- "broken"
	if _, v = until(t, c, "ann", false, ended); !strings.Contains(v.Error, "not opened again in 2 tries: ") {
		t.Errorf("never again: %+v", v)
	}
	if b.twos != 0 {
		t.Errorf("the BMC was asked for a second console %d times", b.twos)
	}
}
