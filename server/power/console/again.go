package console

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/power"
)

// waits are those before a console that broke off is opened again. A BMC that lost the session before holds it for a
// minute, in which it refuses another (IPMI v2.0, 6.12.15).
var waits = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second,
	20 * time.Second, 20 * time.Second, 20 * time.Second}

// steady is how long a console has to hold to be given all of waits again.
const steady = time.Minute

// attendAll attends to a console, again after each time that it broke off, and returns why it ended.
func (c *Consoles) attendAll(ctx context.Context, x *console, attach Attach) error {
	ever := false
	for try := 0; ; try++ {
		c.mu.Lock()
		keys := x.keys
		c.mu.Unlock()
		began, opened := c.now(), false
		err := c.attend(ctx, keys, x, attach, func() { opened = true })
		if ever = ever || opened; opened && c.now().Sub(began) >= steady {
			try = 0
		}
		switch {
		case !ever || err == nil || ctx.Err() != nil || !passes(err) || len(c.waits) == 0:
			return err
		case try >= len(c.waits):
			return fmt.Errorf("it broke off, and was not opened again in %d tries: %w", try, err)
		}
		c.breakOff(x, err, c.waits[try])
		select {
		case <-time.After(c.waits[try]):
		case <-ctx.Done():
			return err
		}
	}
}

// passes reports whether an error of a console that was open may pass.
func passes(err error) bool {
	switch power.WordOf(err) {
	case power.Password, power.Cannot, power.Fault:
		return false
	}
	return true
}

// attend is a console as long as its BMC keeps one session. What is typed belongs to that session: what its BMC did not
// take is in no later one.
func (c *Consoles) attend(ctx context.Context, keys *keyboard, x *console, attach Attach, opened func()) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() { // ends with the session
		<-ctx.Done()
		keys.Close()
	}()
	var out io.Writer = writer(func(b []byte) {
		c.mu.Lock()
		defer c.mu.Unlock()
		x.prints(b)
	})
	return attach(ctx, keys, out, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		opened()
		if !x.gap.IsZero() {
			x.says("it is open again after %v; what the machine printed meanwhile is lost",
				c.now().Sub(x.gap).Round(time.Second))
			x.gap, x.Error = time.Time{}, ""
			x.Breaks++
		}
		x.State = doc.ConsoleGoes
		x.tell()
	})
}

// prints keeps what came. The caller holds the lock.
func (x *console) prints(b []byte) {
	x.raw.add(b)
	x.text.add(x.filter.Write(b))
	x.tell()
}

// says puts a line of the server's among what the machine prints. The caller holds the lock.
func (x *console) says(format string, a ...any) {
	x.prints([]byte("\r\n[diskcast: " + plain.Line(fmt.Sprintf(format, a...), 300) + "]\r\n"))
}

// breakOff says that a console broke off, and has nothing typed until it is open again.
func (c *Consoles) breakOff(x *console, err error, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	first, lost := x.gap.IsZero(), ""
	if first {
		x.gap = c.now()
	}
	if x.keys.typed() {
		lost = "; what was typed last may not have come"
	}
	x.keys = newKeyboard()
	x.State, x.Error = doc.ConsoleOpening, plain.Line(err.Error(), 0)
	if first {
		x.says("%v%s", err, lost)
	}
	x.tell()
	c.log.Info("a console broke off, and is opened again", "machine", x.Machine, "by", x.By, "after", wait, "err", err)
}

// wait waits until a console has ended.
func (x *console) wait(ctx context.Context) {
	select {
	case <-x.gone:
	case <-ctx.Done():
	}
}
