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
	"github.com/diskcast/diskcast/server/model"
)

// Ports of casts: below those that Linux gives to clients, each cast takes an even one for its group and the next for feedback.
const (
	firstPort = 20000
	lastPort  = 31998
)

// Sizes of a cast's packets and blocks: docs/cast-protocol.md.
const (
	payload = 1408
	packets = 128
)

// allocate chooses what tells one cast from all others on the LAN.
func (e *Engine) allocate(size int64) (*session.Cast, error) {
	used := map[uint16]bool{}
	groups := map[netip.Addr]bool{}
	for _, s := range e.sessions {
		if s.Params != nil && !s.Over() {
			used[s.Params.Group.Port()] = true
			groups[s.Params.Group.Addr()] = true
		}
	}
	for range 200 {
		group, port := e.randomGroup(), uint16(firstPort+2*random((lastPort-firstPort)/2+1))
		if used[port] || groups[group] || !free(netip.AddrPortFrom(e.cfg.Addr, port+1)) {
			continue
		}
		var id [4]byte
		rand.Read(id[:])
		return &session.Cast{
			ID:       binary.BigEndian.Uint32(id[:]) | 1,
			Group:    netip.AddrPortFrom(group, port),
			Feedback: netip.AddrPortFrom(e.cfg.Addr, port+1),
			Key:      newSecret(),
			Size:     size, Payload: payload, K: packets,
		}, nil
	}
	return nil, fmt.Errorf("no free UDP port on %v in %d-%d for a cast, or no free group in %v", e.cfg.Addr, firstPort, lastPort, e.cfg.Groups)
}

func (e *Engine) randomGroup() netip.Addr {
	base := e.cfg.Groups.Masked().Addr().As4()
	v := binary.BigEndian.Uint32(base[:])
	if bits := 32 - e.cfg.Groups.Bits(); bits > 0 {
		v |= uint32(random(1 << min(bits, 28)))
	}
	binary.BigEndian.PutUint32(base[:], v)
	return netip.AddrFrom4(base)
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

// resume starts the session's cast, for a new session or after a restart.
func (e *Engine) resume(s *sess) {
	if s.Params == nil || e.runCtx == nil {
		return
	}
	if s.Params.Feedback.Addr() != e.cfg.Addr {
		e.log.Warn("the server's address has changed; nodes are told", "session", s.ID, "was", s.Params.Feedback.Addr(), "is", e.cfg.Addr)
		p := *s.Params
		p.Feedback = netip.AddrPortFrom(e.cfg.Addr, p.Feedback.Port())
		e.move(s, &p)
	}
	ctx, cancel := context.WithCancel(e.runCtx)
	s.stop = cancel
	e.casts.Add(1)
	// Ends when the session does (s.stop) or the engine.
	go func() {
		defer e.casts.Done()
		defer cancel()
		e.castLoop(ctx, s)
	}()
}

// move gives a session another cast and tells its nodes.
func (e *Engine) move(s *sess, p *session.Cast) {
	s.Params = p
	e.saveSession(s)
	for _, id := range s.order {
		if part, n := s.parts[id], e.nodes[id]; n != nil && n.Session == s.ID && (part.State == model.Offered || part.State == model.Running) {
			e.describeRestore(s, n)
		}
	}
}

// castLoop keeps the cast running: a cast that breaks, as when its interface goes down, is started again.
func (e *Engine) castLoop(ctx context.Context, s *sess) {
	obj, err := e.cfg.Images.Object(s.Image.Manifest)
	if err != nil {
		e.fail(s, err)
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
			if p, aerr := e.allocate(s.Params.Size); aerr == nil {
				e.move(s, p)
			}
		}
		s.Reason = fmt.Sprintf("the cast stopped and is started again: %v", err)
		e.saveSession(s)
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
	params, opts := *s.Params, CastOptions{Rate: s.Spec.Rate, Log: e.log.With("session", s.ID)}
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
	s.cast = c
	if s.Reason != "" && !s.Over() {
		s.Reason = ""
		e.saveSession(s)
	}
	e.mu.Unlock()
	err = c.Run(ctx)
	e.mu.Lock()
	last := c.Stats()
	s.cast = nil
	if s.Session.Cast = castView(s.Params); s.Session.Cast != nil {
		last.Sending = false
		s.Session.Cast.Stats = last // what the cast sent is shown after its end too
	}
	e.saveSession(s)
	e.mu.Unlock()
	if err == nil {
		err = errors.New("the cast ended before its session")
	}
	return err
}

func (e *Engine) fail(s *sess, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !s.Over() {
		e.end(s, model.Failed, err.Error())
	}
}
