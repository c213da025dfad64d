package serve

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/engine"
)

// lifeWatch looks whether the systems that machines were given live: it reads the banner of SSH at the addresses
// that a machine was given or had. It asks nobody outside of the server's own LAN, and believes an answer only of the
// machine's own NIC.
type lifeWatch struct {
	lan       netip.Prefix
	awaited   func() []engine.Awaited
	lives     func(node, sign string)
	neighbour func(netip.Addr) string // the hardware address that answers for an address, empty for none
	port      string
	every     time.Duration
	log       *slog.Logger
	ready     chan struct{}
}

// Bounds of a look.
const (
	lifeEvery   = 5 * time.Second
	lifeTimeout = 2 * time.Second
	lifeAtOnce  = 32
	maxBanner   = 255 // RFC 4253, 4.2
)

func newLifeWatch(lan netip.Prefix, e *engine.Engine, neighbour func(netip.Addr) string, log *slog.Logger) *lifeWatch {
	return &lifeWatch{lan: lan, awaited: e.Awaited, lives: e.Lives, neighbour: neighbour, port: "22", every: lifeEvery,
		log: log, ready: make(chan struct{})}
}

func (w *lifeWatch) Name() string           { return "signs of life" }
func (w *lifeWatch) Ready() <-chan struct{} { return w.ready }

func (w *lifeWatch) Run(ctx context.Context) error {
	close(w.ready)
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			w.look(ctx)
		}
	}
}

// look asks all machines that are awaited once.
func (w *lifeWatch) look(ctx context.Context) {
	var g errgroup.Group
	g.SetLimit(lifeAtOnce)
	for _, a := range w.awaited() {
		for _, addr := range a.Addrs {
			if w.lan.Contains(addr) {
				g.Go(func() error {
					w.ask(ctx, a, addr)
					return nil
				})
			}
		}
	}
	_ = g.Wait() // what is no sign of life is no error
}

// ask asks a machine at an address that it may have.
func (w *lifeWatch) ask(ctx context.Context, a engine.Awaited, addr netip.Addr) {
	banner, err := w.banner(ctx, addr)
	if err != nil {
		w.log.Debug("no sign of life", "node", a.Node, "addr", addr, "err", err)
		return
	}
	if mac := w.neighbour(addr); !slices.Contains(a.MACs, mac) {
		w.log.Debug("another machine has the address of one that is awaited", "node", a.Node, "addr", addr, "mac", mac)
		return
	}
	w.lives(a.Node, fmt.Sprintf("SSH answers at %v (%s)", addr, banner))
}

// banner reads the first line that an SSH server says.
func (w *lifeWatch) banner(ctx context.Context, a netip.Addr) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, lifeTimeout)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(a.String(), w.port))
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(lifeTimeout)); err != nil {
		return "", err
	}
	line, err := bufio.NewReaderSize(c, maxBanner+1).ReadSlice('\n')
	if err != nil {
		return "", err
	}
	banner := strings.TrimSpace(string(line))
	if !strings.HasPrefix(banner, "SSH-") {
		return "", fmt.Errorf("%.40q is no banner of SSH", banner)
	}
	return plain.Line(banner, 80), nil
}
