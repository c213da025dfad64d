package castcmd

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/diskcast/diskcast/internal/cast"
	"github.com/diskcast/diskcast/internal/cast/sock"
	"github.com/diskcast/diskcast/internal/units"
	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/spf13/cobra"
)

type sendFlags struct {
	iface        string
	rate, cap    units.Rate
	floor        units.Rate
	minReceivers int
	maxWait      time.Duration
	mtu, ttl     int
	groups       string
	port         int
	ticket       string
	keep         bool
	size         int64
	spool        string
	weight       int
}

func sendCommand(u *ui.UI) *cobra.Command {
	var f sendFlags
	cmd := &cobra.Command{
		Use: "send FILE|-",
		Example: `  diskcast cast send disk.img --min-receivers 30 --max-wait 5m
  tar c /srv/course | diskcast cast send - --min-receivers 30`,
		Short: "Send a file, a device or standard input",
		Long: `Send a file, a device or standard input (-) to every receiver that presents the ticket, which is ` +
			`printed on standard
output.

It ends when at least --min-receivers have come and every one that came has everything, or has gone; with --keep it
serves until it is interrupted. It fails, with their names, if one that came has not everything: it was killed, lost,
or gave up. One that fails before its first report never came: the sender waits on, for ever or for --max-wait after
the first. Receivers may come at any time and get what they missed. When it is killed, start it anew with --ticket,
what it printed on standard error for that (its secret: keep it), and the same file: receivers go on where they were.
Another file is refused.

A file must not change while it is sent. If its size or its times do, or it cannot be read, the sender fails, and so
do all receivers that are not done. Of a device nobody can tell: see that nothing writes to it.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cmd.SilenceUsage = true
			return send(cmd.Context(), f, args[0], cmd.InOrStdin(), cmd.OutOrStdout(), u)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.iface, "interface", "", "network interface (default: the one of the default route)")
	fl.Var(&f.rate, "rate", "send at this fixed rate, as 900M or 2.5G (default: found by rate control)")
	fl.Var(&f.cap, "cap", "bound of rate control")
	fl.Var(&f.floor, "floor",
		"a receiver that stands less than this goes to unicast instead of holding the others back (default: a "+
			"quarter of what they stand)")
	fl.IntVar(&f.minReceivers, "min-receivers", 1, "wait for so many receivers before anything is sent")
	fl.DurationVar(&f.maxWait, "max-wait", 0,
		"wait for them no longer than this, from the first on (default: for ever)")
	fl.IntVar(&f.mtu, "mtu", 0, "largest IP packet that the network bears (default: that of the interface)")
	fl.IntVar(&f.ttl, "ttl", 1, "routers that multicast may cross, plus one")
	fl.StringVar(&f.groups, "groups", cast.DefaultGroups.String(), "range of multicast groups to choose from")
	fl.IntVar(&f.port, "port", 0, "UDP port for reports (default: any)")
	fl.StringVar(&f.ticket, "ticket", "", "go on as a sender that was killed, with what it printed for that")
	fl.BoolVar(&f.keep, "keep", false, "serve until interrupted")
	fl.Int64Var(&f.size, "size", 0,
		"bytes that standard input will have: sending begins while they come (default: read it to its end first)")
	fl.StringVar(&f.spool, "spool", "",
		"directory for a copy of standard input, which late receivers need (default: $TMPDIR)")
	fl.IntVar(&f.weight, "weight", 1, "share of the line among casts of this machine")
	return cmd
}

func send(ctx context.Context, f sendFlags, name string, stdin io.Reader, stdout io.Writer, u *ui.UI) error {
	src, err := openSource(ctx, f, name, stdin)
	if err != nil {
		return err
	}
	defer src.close()
	p, secret, err := f.params(ctx, src)
	if err != nil {
		return err
	}
	mark, err := src.mark()
	if err != nil {
		return err
	}
	prog := newProgress(u, p.Size)
	came := newArrivals()
	var s *cast.Sender
	s, err = cast.NewSender(p, src, cast.SenderOptions{
		Secret: secret, Interface: f.iface, Rate: int64(f.rate), Cap: int64(f.cap), Floor: int64(f.floor),
		Weight: f.weight, TTL: f.ttl,
		UntilDone: !f.keep, MinReceivers: f.minReceivers, MaxWait: f.maxWait,
		Sound: src.sound,
		OnReadError: func(r cast.Range, err error) {
			s.Abort(fmt.Errorf("bytes %d-%d of %s cannot be sent, so no receiver can have everything: %w", r.Offset,
				r.Offset+r.Length, name, err))
		},
		OnEvent: func(e cast.Event) {
			came.event(e)
			prog.event(e)
		},
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, cast.Ticket(p))
	if f.ticket == "" {
		prog.line("resume", "if this sender is killed, go on with --ticket "+cast.SenderTicket(p, secret, mark))
	}
	prog.Run(func() { prog.sender(s.Stats()) })
	err = s.Run(ctx)
	prog.Stop()
	st := s.Stats()
	if err == nil {
		err = came.unfinished(st)
	}
	prog.senderDone(st, err)
	return err
}

// params chooses group, key and addresses, or takes them from the ticket.
func (f *sendFlags) params(ctx context.Context, src *source) (cast.Params, cast.Secret, error) {
	if f.ticket != "" {
		p, secret, mark, err := cast.ParseSenderTicket(f.ticket)
		if err != nil {
			return p, secret, ui.Usage("--ticket: %w", err)
		}
		if p.Size != src.size {
			err = fmt.Errorf("the ticket is for %d bytes, this file has %d: a ticket goes on with the same file",
				p.Size, src.size)
		}
		if err == nil {
			err = src.is(mark)
		}
		return p, secret, err
	}
	var p cast.Params
	secret := cast.NewSecret()
	prefix, err := netip.ParsePrefix(f.groups)
	if err != nil {
		return p, secret, ui.Usage("--groups: %w", err)
	}
	ifi, local, err := sock.Local(f.iface, prefix.Addr().Is6())
	if err != nil {
		return p, secret, err
	}
	groups, err := cast.NewGroups(prefix, 20000, 29999)
	if err != nil {
		return p, secret, err
	}
	if p.Group, err = groups.Take(ctx, ifi); err != nil {
		return p, secret, err
	}
	port := f.port
	if port == 0 {
		if port, err = freePort(local); err != nil {
			return p, secret, err
		}
	}
	p.Feedback = netip.AddrPortFrom(local.WithZone(""), uint16(port))
	mtu := f.mtu
	if mtu == 0 {
		mtu = min(ifi.MTU, 9000)
	}
	if p.Payload, err = cast.PayloadFor(mtu); err != nil {
		return p, secret, err
	}
	p.Size = src.size
	var id [4]byte
	rand.Read(id[:])
	p.ID = uint32(id[0])<<24 | uint32(id[1])<<16 | uint32(id[2])<<8 | uint32(id[3])
	rand.Read(p.Key[:])
	if p.Sender, err = cast.PublicOf(secret); err != nil {
		return p, secret, err
	}
	p = p.WithDefaults()
	return p, secret, p.Check()
}

// freePort finds a UDP port that nobody uses.
func freePort(local netip.Addr) (int, error) {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, 0)))
	if err != nil {
		return 0, fmt.Errorf("finding a free UDP port: %w", err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port, nil
}
