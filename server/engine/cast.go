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
			taken = taken || (s.Params != nil && !s.Over() && s.Params.Group.Addr() == g.Addr())
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

// allocate makes a cast of the group, and the secret of its sender.
func (e *Engine) allocate(group netip.AddrPort, size int64) (c *session.Cast, secret []byte, err error) {
	feedback, err := e.feedback()
	if err != nil {
		return nil, nil, err
	}
	secret = newSecret()
	sender, err := e.cfg.Casts.Sender(secret)
	if err != nil {
		return nil, nil, err
	}
	var id [4]byte
	rand.Read(id[:])
	return &session.Cast{ID: binary.BigEndian.Uint32(id[:]) | 1, Group: group, Feedback: feedback, Key: newSecret(),
		Sender: sender,
		Size:   size, Payload: payload, K: packets}, secret, nil
}

// feedback chooses a port for reports that is not in use.
func (e *Engine) feedback() (netip.AddrPort, error) {
	used := map[uint16]bool{}
	for _, id := range e.jobs.Order() {
		s := e.jobs.Session(id)
		if s.Params != nil && !s.Over() {
			used[s.Params.Feedback.Port()] = true
		}
	}
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

// startCast starts the session's cast, for a session that starts or after a restart.
func (e *Engine) startCast(s *sess) {
	r := e.run(s.ID)
	if s.Params == nil || e.runCtx == nil || r.stop != nil {
		return
	}
	p, secret := *s.Params, s.Secret
	if len(secret) == 0 {
		// Stored by a server that did not sign.
		secret = newSecret()
		var err error
		if p.Sender, err = e.cfg.Casts.Sender(secret); err != nil {
			e.log.Error("a cast has no sender", "session", s.ID, "err", err)
			return
		}
	}
	if p.Feedback.Addr() != e.cfg.Addr {
		e.log.Warn("the server's address has changed; nodes are told", "session", s.ID, "was", p.Feedback.Addr(), "is",
			e.cfg.Addr)
		p.Feedback = netip.AddrPortFrom(e.cfg.Addr, p.Feedback.Port())
	}
	if len(s.Secret) == 0 || p.Feedback != s.Params.Feedback {
		e.step(jobs.CastMoved{Session: s.ID, Params: &p, Secret: secret})
	}
	ctx, cancel := context.WithCancel(e.runCtx)
	r.stop = cancel
	e.casts.Add(1)
	// Ends when the session does (StopCast) or the engine.
	go func() {
		defer e.casts.Done()
		defer cancel()
		e.castLoop(ctx, s)
	}()
}

// castLoop keeps the cast running: a cast that breaks, as when its interface goes down, is started again.
func (e *Engine) castLoop(ctx context.Context, s *sess) {
	obj, err := e.cfg.Images.Object(s.Image.Manifest)
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
		err := e.castOnce(ctx, s, obj)
		if ctx.Err() != nil {
			return
		}
		e.log.Error("cast stopped; it is started again", "session", s.ID, "err", err)
		e.mu.Lock()
		if errors.Is(err, syscall.EADDRINUSE) {
			// Another program took the port while the server was away.
			if a, aerr := e.feedback(); aerr == nil {
				p := *s.Params
				p.Feedback = a
				e.step(jobs.CastMoved{Session: s.ID, Params: &p, Secret: s.Secret})
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

func (e *Engine) castOnce(ctx context.Context, s *sess, obj Object) error {
	e.mu.Lock()
	params, opts := *s.Params, CastOptions{Rate: s.Spec.Rate, Secret: s.Secret, Log: e.log.With("session", s.ID)}
	e.mu.Unlock()
	opts.OnReadError = func(off, n int64, err error) {
		e.log.Error("image cannot be read", "session", s.ID, "offset", off, "length", n, "err", err)
		e.mu.Lock()
		defer e.mu.Unlock()
		e.suspect(s, -1)
	}
	c, err := e.cfg.Casts.New(params, obj, opts)
	if err != nil {
		return err
	}
	e.mu.Lock()
	e.run(s.ID).cast = c
	e.step(jobs.CastRuns{Session: s.ID})
	e.mu.Unlock()
	err = c.Run(ctx)
	e.mu.Lock()
	last, shown := e.known(s, c.Stats()), castView(s.Params)
	e.run(s.ID).cast = nil
	if shown != nil {
		last.Sending = false
		shown.Stats = last // what the cast sent is shown after its end too
	}
	e.step(jobs.CastEnded{Session: s.ID, Shown: shown})
	e.mu.Unlock()
	if err == nil {
		err = errors.New("the cast ended before its session")
	}
	return err
}
