package dhcp

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/diskcast/diskcast/server/doc"
)

// LookFor is how long Look waits for an answer.
const LookFor = lookLong

// Look asks the LAN of the interface for DHCP servers and returns those that answered: as soon as one that gives
// addresses did, else after LookFor. It needs root or CAP_NET_RAW.
func Look(ctx context.Context, iface string, log *slog.Logger) ([]doc.DHCPServer, error) {
	return look(ctx, iface, lookLong, log)
}

// LookAll is Look that asks for all of LookFor, so that a second server is found too.
func LookAll(ctx context.Context, iface string, log *slog.Logger) ([]doc.DHCPServer, error) {
	return ask(ctx, iface, lookLong, true, log)
}

func look(ctx context.Context, iface string, d time.Duration, log *slog.Logger) ([]doc.DHCPServer, error) {
	return ask(ctx, iface, d, false, log)
}

func ask(ctx context.Context, iface string, d time.Duration, all bool, log *slog.Logger) ([]doc.DHCPServer, error) {
	ifi, err := net.InterfaceByName(iface)
	if err != nil {
		return nil, fmt.Errorf("interface %q: %w", iface, err)
	}
	if len(ifi.HardwareAddr) != 6 {
		return nil, fmt.Errorf("interface %s is no Ethernet: DHCP servers cannot be looked for on it", iface)
	}
	found := newOthers(slog.New(slog.DiscardHandler))
	s, err := newScout(ifi, found, log)
	if err != nil {
		return nil, err
	}
	// A LAN that cannot be asked has not answered "none".
	if err := s.ask(); err != nil {
		s.conn.Close()
		return nil, fmt.Errorf("%s: %w", iface, err)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.run(ctx) }) // ends when the connection is closed, with ctx
	s.look(ctx, d, all)
	stop()
	s.conn.Close()
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return found.all(), nil
}

// GivesAddresses says whether a server that was heard gives addresses.
func GivesAddresses(s doc.DHCPServer) bool { return s.Gives == givesAddresses }
