package rescue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"

	"golang.org/x/crypto/ssh"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/rescue"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/terminal"
)

// guest is one channel of a connection: one program.
type guest struct {
	s        *server
	ch       ssh.Channel
	who      string
	term     string
	master   *os.File // of its terminal; nil without one
	terminal *os.File
	shell    bool // it counts among the guests
	out      sync.Once
}

// leave has it count no more.
func (g *guest) leave() {
	if g.shell {
		g.out.Do(g.s.g.gone)
	}
}

// Payloads of requests: RFC 4254, 6.2, 6.5, 6.7.
type (
	ptyRequest struct {
		Term          string
		Columns, Rows uint32
		Width, Height uint32 // pixels
		Modes         string
	}
	windowChange struct{ Columns, Rows, Width, Height uint32 }
	execRequest  struct{ Line string }
)

// serve obeys the channel's requests until its program has ended.
func (g *guest) serve(ctx context.Context, reqs <-chan *ssh.Request) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel() // the channel is closed by the other side: nobody reads the program any more
	defer g.close()
	defer g.leave() // before its program ends: who is gone keeps nobody from leaving last
	started := false
	for r := range reqs {
		ok := false
		switch r.Type {
		case "pty-req":
			ok = !started && g.pty(r.Payload)
		case "window-change":
			var w windowChange
			ok = g.master != nil && ssh.Unmarshal(r.Payload, &w) == nil &&
				terminal.SetSize(g.master, int(w.Columns), int(w.Rows)) == nil
		case "shell", "exec":
			line := ""
			if r.Type == "exec" {
				var x execRequest
				if ssh.Unmarshal(r.Payload, &x) != nil || x.Line == "" {
					break
				}
				line = x.Line
				g.s.o.Report.Step(rescue.StepLogin, session.Info, g.who+" runs: "+plain.Line(line, maxWords), nil)
			}
			if started {
				break
			}
			cmd, err := g.start(ctx, line)
			if err != nil {
				g.s.o.Log.Error("SSH: no shell", "error", err)
				break
			}
			started, ok = true, true
			running.Go(func() { g.finish(ctx, cmd) }) // ends with the program, which ends with ctx
		}
		if r.WantReply && r.Reply(ok, nil) != nil {
			return
		}
	}
}

func (g *guest) pty(payload []byte) bool {
	var p ptyRequest
	if g.master != nil || ssh.Unmarshal(payload, &p) != nil {
		return false
	}
	var err error
	if g.master, g.terminal, err = openPTY(); err != nil {
		g.s.o.Log.Error("SSH: no terminal", "error", err)
		return false
	}
	g.term = plain.Line(p.Term, 64)
	if err := terminal.SetSize(g.master, int(p.Columns), int(p.Rows)); err != nil {
		g.s.o.Log.Warn("SSH: the terminal's size cannot be set", "error", err)
	}
	return true
}

func (g *guest) start(ctx context.Context, line string) (*exec.Cmd, error) {
	cmd := g.s.o.program(ctx, g.term, line)
	if g.master == nil {
		in, err := cmd.StdinPipe()
		if err != nil {
			return nil, err
		}
		cmd.Stdout, cmd.Stderr = g.ch, g.ch.Stderr()
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		go func() { // ends with the channel, or when the program does not read
			_, _ = io.Copy(in, g.ch)
			in.Close()
		}()
	} else {
		if err := onTerminal(cmd, g.terminal); err != nil {
			return nil, err
		}
		g.terminal.Close()                             // the program's now: reads end when it does
		go func() { _, _ = io.Copy(g.master, g.ch) }() // ends with the channel
	}
	if line == "" {
		g.shell = true
		g.s.g.enter()
	}
	return cmd, nil
}

// finish waits for the program and says how it ended.
func (g *guest) finish(ctx context.Context, cmd *exec.Cmd) {
	if g.master != nil {
		_, _ = io.Copy(g.ch, g.master) // ends with an error when the last program has closed the terminal
	}
	err := cmd.Wait()
	status := struct{ Status uint32 }{}
	if bad := (*exec.ExitError)(nil); errors.As(err, &bad) {
		status.Status = uint32(bad.ExitCode()) & 0xff // -1, which is 255: by a signal
	}
	_, _ = g.ch.SendRequest("exit-status", false, ssh.Marshal(&status))
	left := ctx.Err() == nil // else the connection broke, or the session is over
	_ = g.ch.Close()         // one that is closed already is meant too
	g.leave()
	if g.shell && left {
		g.s.g.left(fmt.Sprintf("the shell of %s was left", g.who))
	}
}

// close closes the channel and the terminal; a program that is still there gets the hangup.
func (g *guest) close() {
	_ = g.ch.Close() // one that is closed already is meant too
	if g.master != nil {
		g.master.Close()
		g.terminal.Close()
	}
}
