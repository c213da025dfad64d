package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/diskcast/diskcast/agent/kernellog"
	"github.com/diskcast/diskcast/internal/session"
)

// Bounds, in bytes, of what the server is told of the kernel's words.
const (
	crashWords   = 12 << 10 // of one crash
	failureWords = 6 << 10  // of a failure
	eventWords   = 1800     // in one event
	crashesTold  = 2        // with their words; of older ones only that there are some
)

// kernelWords tells what the kernel warned of since the last failure, or the start: why a disk or a card failed stands
// there and nowhere else.
func (a *agent) kernelWords() {
	if a.o.noBoot {
		return // the kernel is somebody else's
	}
	lines, left, err := a.kernel.Read(kernellog.Warning, failureWords)
	if err != nil {
		a.log.Warn("what the kernel said is not known", "err", err)
		return
	}
	if left > 0 {
		a.events.Log(session.Info, fmt.Sprintf("kernel: %d earlier warnings are left out", left))
	}
	var text []string
	for _, l := range lines {
		text = append(text, l.Text)
	}
	a.tellWords("kernel", text)
}

// tellWords puts lines into as few events of the log as they fit into.
func (a *agent) tellWords(who string, lines []string) {
	var block strings.Builder
	flush := func() {
		if block.Len() > 0 {
			a.events.Log(session.Info, who+": "+strings.TrimSuffix(block.String(), "\n"))
			block.Reset()
		}
	}
	for _, l := range lines {
		if block.Len()+len(l) >= eventWords {
			flush()
		}
		block.WriteString(l + "\n")
	}
	flush()
}

// crashes are the last words of kernels that died on this machine.
func (a *agent) crashes() []*kernellog.Crash {
	if a.o.noBoot {
		return nil
	}
	if err := kernellog.MountStore(); err != nil {
		a.log.Warn("whether the machine crashed before is not known", "err", err)
		return nil
	}
	crashes, unread := kernellog.Crashes(kernellog.StoreDir, crashWords)
	for _, u := range unread {
		a.log.Warn("a record of an earlier crash cannot be read, and stays where it is", "why", u)
	}
	for _, c := range crashes {
		if c.Panicked() {
			words := crashLine(c)
			a.crashed.Store(&words)
			break
		}
	}
	return crashes
}

func crashLine(c *kernellog.Crash) string {
	return fmt.Sprintf("%s of the kernel, at %s by the machine's clock", c.Why,
		c.When.UTC().Format("2006-01-02 15:04:05"))
}

// tellCrashes tells the server of them, and takes them out of the store once it has them.
func (a *agent) tellCrashes(ctx context.Context, crashes []*kernellog.Crash) error {
	if len(crashes) == 0 {
		return nil
	}
	lost := a.events.Lost()
	for i, c := range crashes {
		if i == crashesTold {
			a.log.Info("older records of crashes are not told", "crashes", len(crashes)-i)
			break
		}
		if !c.Panicked() {
			a.log.Info("a kernel of this machine left words", "why", c.Why, "at", c.When.UTC())
		} else {
			a.log.Warn("this machine crashed before: " + crashLine(c) + "; its last words follow")
		}
		a.tellWords("crash", strings.Split(c.Text, "\n"))
	}
	if err := a.events.Flush(ctx); err != nil {
		return nil // it ends; the next agent tells them again
	}
	if a.events.Lost() != lost {
		a.log.Warn("records of crashes stay in the firmware's store: the server did not take all of their words")
		return nil
	}
	for _, c := range crashes {
		if err := c.Remove(); err != nil {
			a.log.Warn("a record of a crash stays in the firmware's store, which may fill up", "err", err)
		}
	}
	a.log.Info("the records of crashes were taken out of the firmware's store", "records", len(crashes))
	return nil
}
