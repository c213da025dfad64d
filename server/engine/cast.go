package engine

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/jobs"
)

// Ports at which casts' senders listen for reports: below those that Linux gives to clients.
const (
	FirstPort = 25000
	LastPort  = 31999
)

// Sizes of a cast's packets and blocks: docs/cast-protocol.md.
const (
	payload = 1408
	packets = 128
)

// group chooses a group that no cast of this server has, nor anybody who is heard, and reserves it. It takes a moment:
// the lock is not held.
func (e *Engine) group(ctx context.Context) (netip.AddrPort, error) {
	for range 8 {
		g, err := e.cfg.Casts.Group(ctx)
		if err != nil {
			return g, fmt.Errorf("no group for the cast: %w", err)
		}
		e.mu.Lock()
		taken := e.reserved[g.Addr()]
		for _, id := range e.jobs.Order() {
			s := e.jobs.Session(id)
			taken = taken || !s.Over() && slices.ContainsFunc(s.Casts(), func(c *session.Cast) bool {
				return c.Group.Addr() == g.Addr()
			})
		}
		if !taken {
			e.reserved[g.Addr()] = true
		}
		e.mu.Unlock()
		if !taken {
			return g, nil
		}
	}
	return netip.AddrPort{}, errors.New("no free group for the cast: give the server a larger range with --groups")
}

// groups chooses and reserves a group for each image of the session that has an object; the others' are not valid.
func (e *Engine) groups(ctx context.Context, s *sess) ([]netip.AddrPort, error) {
	out := make([]netip.AddrPort, s.Disks())
	for i := range out {
		if s.ImageOf(i).ObjectSize == 0 {
			continue
		}
		g, err := e.group(ctx)
		if err != nil {
			e.mu.Lock()
			e.unreserve(out)
			e.mu.Unlock()
			return nil, err
		}
		out[i] = g
	}
	return out, nil
}

// unreserve lets go of groups: from here on they are a session's, or nobody's.
func (e *Engine) unreserve(groups []netip.AddrPort) {
	for _, g := range groups {
		delete(e.reserved, g.Addr())
	}
}

// allocate makes a cast of the group, for one of the session's images, and the secret of its sender.
func (e *Engine) allocate(s *sess, disk int, group netip.AddrPort) error {
	feedback, err := e.feedback(s)
	if err != nil {
		return err
	}
	secret := newSecret()
	sender, err := e.cfg.Casts.Sender(secret)
	if err != nil {
		return err
	}
	var id [4]byte
	rand.Read(id[:])
	s.Send(disk, jobs.Sending{Secret: secret, Params: &session.Cast{ID: binary.BigEndian.Uint32(id[:]) | 1,
		Group:    group,
		Feedback: feedback, Key: newSecret(), Sender: sender, Size: s.ImageOf(disk).ObjectSize, Payload: payload,
		K: packets}})
	return nil
}

// feedback chooses a port for reports that no session uses, nor the one that is being made.
func (e *Engine) feedback(made *sess) (netip.AddrPort, error) {
	used := map[uint16]bool{}
	uses := func(s *sess) {
		for _, c := range s.Casts() {
			used[c.Feedback.Port()] = true
		}
	}
	for _, id := range e.jobs.Order() {
		if s := e.jobs.Session(id); !s.Over() {
			uses(s)
		}
	}
	uses(made)
	for range 200 {
		a := netip.AddrPortFrom(e.cfg.Addr, uint16(FirstPort+random(LastPort-FirstPort+1)))
		if !used[a.Port()] && free(a) {
			return a, nil
		}
	}
	return netip.AddrPort{}, fmt.Errorf("no free UDP port on %v in %d-%d for a cast", e.cfg.Addr, FirstPort, LastPort)
}

func random(n int) int {
	v, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	return int(v.Int64())
}

func free(a netip.AddrPort) bool {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(a))
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// startCast starts the session's casts, for a session that starts or after a restart.
func (e *Engine) startCast(s *sess) {
	r := e.run(s.ID)
	if len(s.Casts()) == 0 || e.runCtx == nil || r.stop != nil {
		return
	}
	ctx, cancel := context.WithCancel(e.runCtx)
	r.stop = cancel
	for i := range s.Disks() {
		x := s.SendingOf(i)
		if x.Params == nil || !e.here(s, i, x) {
			continue
		}
		e.casts.Add(1)
		// Ends when the session does (StopCast) or the engine.
		go func() {
			defer e.casts.Done()
			e.castLoop(ctx, s, i)
		}()
	}
}

// here has what is cast come from this server, and reports whether it can.
func (e *Engine) here(s *sess, disk int, x jobs.Sending) bool {
	p, unsigned := *x.Params, len(x.Secret) == 0
	if unsigned { // stored by a server that did not sign
		x.Secret = newSecret()
		var err error
		if p.Sender, err = e.cfg.Casts.Sender(x.Secret); err != nil {
			e.log.Error("a cast has no sender", "session", s.ID, "err", err)
			return false
		}
	}
	if p.Feedback.Addr() != e.cfg.Addr {
		e.log.Warn("the server's address has changed; nodes are told", "session", s.ID, "was", p.Feedback.Addr(), "is",
			e.cfg.Addr)
		p.Feedback = netip.AddrPortFrom(e.cfg.Addr, p.Feedback.Port())
	}
	if unsigned || p.Feedback != x.Params.Feedback {
		e.step(jobs.CastMoved{Session: s.ID, Disk: disk, Params: &p, Secret: x.Secret})
	}
	return true
}

// castLoop keeps the cast of one of the session's images running: one that breaks, as when its interface goes down, is
// started again.
func (e *Engine) castLoop(ctx context.Context, s *sess, disk int) {
	obj, err := e.cfg.Images.Object(s.ImageOf(disk).Manifest)
	if err != nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.step(jobs.Broken{Session: s.ID, Reason: err.Error()})
		return
	}
	defer obj.Close()
	wait := time.Second
	for ctx.Err() == nil {
		began := e.now()
		err := e.castOnce(ctx, s, disk, obj)
		if ctx.Err() != nil {
			return
		}
		e.log.Error("cast stopped; it is started again", "session", s.ID, "err", err)
		e.mu.Lock()
		if errors.Is(err, syscall.EADDRINUSE) {
			// Another program took the port while the server was away.
			if a, aerr := e.feedback(s); aerr == nil {
				x := s.SendingOf(disk)
				p := *x.Params
				p.Feedback = a
				e.step(jobs.CastMoved{Session: s.ID, Disk: disk, Params: &p, Secret: x.Secret})
			}
		}
		e.step(jobs.CastBroke{Session: s.ID, Words: fmt.Sprintf("the cast stopped and is started again: %v", err)})
		e.mu.Unlock()
		if e.now().Sub(began) > time.Minute {
			wait = time.Second
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, 30*time.Second)
	}
}

func (e *Engine) castOnce(ctx context.Context, s *sess, disk int, obj Object) error {
	e.mu.Lock()
	x := s.SendingOf(disk)
	params, opts := *x.Params, CastOptions{Rate: s.Spec.Rate, Secret: x.Secret, Log: e.log.With("session", s.ID)}
	e.mu.Unlock()
	opts.OnReadError = func(off, n int64, err error) {
		e.log.Error("image cannot be read", "session", s.ID, "offset", off, "length", n, "err", err)
		e.mu.Lock()
		defer e.mu.Unlock()
		e.suspect(s, disk, -1)
	}
	c, err := e.cfg.Casts.New(params, obj, opts)
	if err != nil {
		return err
	}
	e.mu.Lock()
	e.run(s.ID).casts[disk] = c
	e.step(jobs.CastRuns{Session: s.ID, Disk: disk})
	e.mu.Unlock()
	err = c.Run(ctx)
	e.mu.Lock()
	last, shown := e.known(s, c.Stats()), castView(s.SendingOf(disk).Params)
	delete(e.run(s.ID).casts, disk)
	if shown != nil {
		last.Sending = false
		shown.Stats = last // what the cast sent is shown after its end too
	}
	e.step(jobs.CastEnded{Session: s.ID, Disk: disk, Shown: shown})
	e.mu.Unlock()
	if err == nil {
		err = errors.New("the cast ended before its session")
	}
	return err
}
