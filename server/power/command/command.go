// Package command switches machines by a program of the server's owner: a PDU, a plug, AMT. Which programs there are
// is in a file that only who runs the server can write, never in the API: whoever has the operator's token may choose
// among them, and cannot have the server run anything else.
//
// A program is called without a shell, with the words {op}, {machine}, {address}, {user} and {device} of its arguments
// filled in, and with nothing of the server's environment but PATH. The password, if there is one, is its input. op is
// state, on, off, bootonce or boot. After state its first line of output is on or off; after boot it is network, disk,
// setup or default. Exit code 0 is "taken"; anything else is a refusal, and its last line of errors the reason.
package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/power"
	"github.com/diskcast/diskcast/server/program"
)

// Driver is the owner's commands.
var Driver = &power.Driver{Name: "command",
	Needs: "--command, a name in power-commands.json of the server's state directory",
	Check: check, Open: open}

// maxOutput is how much of a program's output is kept.
const maxOutput = 64 << 10

func check(c *power.Config) error {
	if c.Command == "" {
		return errors.New("name one of the server's commands with --command")
	}
	for _, s := range []string{c.Address, c.User} {
		if strings.HasPrefix(s, "-") {
			return fmt.Errorf("%q begins with a dash, which a program could take for an option", s)
		}
	}
	return nil
}

type device struct {
	c    *power.Config
	h    *power.Host
	argv []string
}

func open(c *power.Config, h *power.Host) (power.Device, error) {
	argv := h.Commands[c.Command]
	if len(argv) == 0 {
		return nil, power.Fail(power.Fault, "power-commands.json of the server's state directory has no command %q",
			c.Command)
	}
	return &device{c: c, h: h, argv: argv}, check(c)
}

// capped keeps the first bytes that are written to it.
type capped struct{ bytes.Buffer }

func (w *capped) Write(b []byte) (int, error) {
	if room := maxOutput - w.Len(); room > 0 {
		w.Buffer.Write(b[:min(room, len(b))])
	}
	return len(b), nil
}

func (p *device) run(ctx context.Context, op string, device power.Boot) (string, error) {
	fill := strings.NewReplacer("{op}", op, "{machine}", p.c.Machine, "{address}", p.c.Address, "{user}", p.c.User,
		"{device}", string(device))
	args := make([]string, 0, len(p.argv))
	for _, a := range p.argv {
		args = append(args, fill.Replace(a))
	}
	if err := p.h.Next(ctx); err != nil {
		return "", err
	}
	var out, bad capped
	cmd := exec.CommandContext(ctx, p.argv[0], args[1:]...)
	cmd.Env = []string{"LC_ALL=C"}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(p.c.Password), &out, &bad
	err := program.Run(cmd)
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case errors.As(err, &exit):
		lines := strings.Split(strings.TrimSpace(bad.String()), "\n")
		return "", power.Fail(power.Refused, "command %q, %s: %v: %s", p.c.Command, op, exit,
			plain.Line(p.hide(lines[len(lines)-1]), 200))
	case err != nil:
		return "", power.Fail(power.Fault, "command %q cannot be run: %w", p.c.Command, err)
	}
	line, _, _ := strings.Cut(out.String(), "\n")
	return strings.TrimSpace(line), nil
}

// hide takes the password out of what a program says.
func (p *device) hide(s string) string {
	if p.c.Password == "" {
		return s
	}
	return strings.ReplaceAll(s, p.c.Password, "(password)")
}

func (p *device) State(ctx context.Context) (power.State, error) {
	s, err := p.run(ctx, "state", "")
	return power.State(plain.Line(p.hide(s), 40)), err
}

func (p *device) On(ctx context.Context) error {
	_, err := p.run(ctx, "on", "")
	return err
}

func (p *device) Off(ctx context.Context) error {
	_, err := p.run(ctx, "off", "")
	return err
}

func (p *device) BootOnce(ctx context.Context, b power.Boot) error {
	_, err := p.run(ctx, "bootonce", b)
	return err
}

func (p *device) Boot(ctx context.Context) (power.Boot, error) {
	s, err := p.run(ctx, "boot", "")
	return power.Boot(plain.Line(p.hide(s), 40)), err
}

func (p *device) Close() {}
