// Package caster makes the engine's casts of package cast's senders.
package caster

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"

	"github.com/diskcast/diskcast/internal/cast"
	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
)

// Network makes casts on one interface.
type Network struct {
	iface  *net.Interface
	cap    int64
	groups *cast.Groups
	prefix netip.Prefix // of the groups
}

var _ engine.Casts = (*Network)(nil)

// Ports of groups, below those of feedback in package engine.
const (
	FirstPort = 20000
	LastPort  = 24999
)

// New makes casts on the named interface, with groups of the prefix. cap, unless 0, bounds each cast's rate, in bits a
// second.
func New(iface string, groups netip.Prefix, cap int64) (*Network, error) {
	ifi, err := net.InterfaceByName(iface)
	if err != nil {
		return nil, fmt.Errorf("interface %q: %w", iface, err)
	}
	g, err := cast.NewGroups(groups, FirstPort, LastPort)
	if err != nil {
		return nil, err
	}
	return &Network{iface: ifi, cap: cap, groups: g, prefix: groups}, nil
}

// Group implements engine.Casts. The engine knows which groups its sessions have, also those of before a restart.
func (n *Network) Group(ctx context.Context) (netip.AddrPort, error) {
	g, err := n.groups.Take(ctx, n.iface)
	if err == nil {
		n.groups.Release(g)
	}
	return g, err
}

// Params makes a cast's parameters of a descriptor's.
func Params(c session.Cast) (cast.Params, error) {
	p := cast.Params{ID: c.ID, Group: c.Group, Feedback: c.Feedback, Size: c.Size, Payload: c.Payload, K: c.K}
	if copy(p.Key[:], c.Key) != len(p.Key) || len(c.Key) != len(p.Key) {
		return p, fmt.Errorf("cast key has %d bytes, not %d", len(c.Key), len(p.Key))
	}
	if copy(p.Sender[:], c.Sender) != len(p.Sender) || len(c.Sender) != len(p.Sender) {
		return p, fmt.Errorf("cast's sender has public keys of %d bytes, not %d: server and node must be of the same "+
			"diskcast version", len(c.Sender), len(p.Sender))
	}
	return p, nil
}

// Sender implements engine.Casts.
func (n *Network) Sender(secret []byte) ([]byte, error) {
	p, err := cast.PublicOf(cast.Secret(secret))
	return p[:], err
}

// New implements engine.Casts.
func (n *Network) New(c session.Cast, src io.ReaderAt, o engine.CastOptions) (engine.Cast, error) {
	p, err := Params(c)
	if err != nil {
		return nil, err
	}
	s, err := cast.NewSender(p, src, cast.SenderOptions{
		Secret: cast.Secret(o.Secret), Interface: n.iface.Name, Rate: o.Rate, Cap: n.cap, Log: o.Log,
		OnReadError: func(r cast.Range, err error) { o.OnReadError(r.Offset, r.Length, err) },
	})
	if err != nil {
		return nil, fmt.Errorf("cast to %v: %w", c.Group, err)
	}
	return running{s}, nil
}

type running struct{ s *cast.Sender }

func (r running) Run(ctx context.Context) error { return r.s.Run(ctx) }

func (r running) Stats() doc.CastStats {
	s := r.s.Stats()
	out := doc.CastStats{Sending: s.Sending, Sent: s.Payload, Repair: s.Repair, Wire: s.Wire, Pending: s.Pending,
		Rate: s.Rate, Rejected: s.Rejected.Total(), Warning: plain.Line(s.Suspicion, 0)}
	for _, p := range s.Receivers {
		out.Receivers = append(out.Receivers,
			doc.Receiver{Node: plain.Line(p.Label, 64), Addr: p.Addr.Addr().Unmap().String(), State: p.State,
				Need: p.Need, Loss: p.Loss, Rate: p.Rate, Warning: plain.Line(p.Suspicion, 0)})
	}
	return out
}
