package rescue

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/rescue"
	"github.com/diskcast/diskcast/internal/session"
)

// Bounds on who comes by SSH.
const (
	maxConns    = 32               // at once, those that have not proven themselves among them
	maxChannels = 16               // of a connection
	handshake   = 30 * time.Second // until a key is proven
	maxWords    = 200              // bytes of a command line in an event
)

// server lets in who has one of the keys.
type server struct {
	o      Options
	g      *guests
	config *ssh.ServerConfig
	signer ssh.Signer
	conns  chan struct{} // a slot for each connection
}

// comesBy is the extension of a connection's permissions that names its key.
const comesBy = "diskcast-key"

// newServer makes a host key that lives as long as the server.
func newServer(o Options, keys []string, g *guests) (*server, error) {
	allowed := map[string]*rescue.Key{}
	for _, line := range keys {
		k, err := rescue.ParseKey(line)
		if err != nil {
			return nil, err
		}
		allowed[string(k.Marshal())] = k
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("host key: %w", err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, fmt.Errorf("host key: %w", err)
	}
	s := &server{o: o, g: g, signer: signer, conns: make(chan struct{}, maxConns)}
	s.config = &ssh.ServerConfig{ServerVersion: "SSH-2.0-diskcast", MaxAuthTries: 6,
		PublicKeyCallback: func(_ ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
			known := allowed[string(k.Marshal())]
			if known == nil {
				return nil, errors.New("the session does not name this key")
			}
			return &ssh.Permissions{Extensions: map[string]string{comesBy: known.Words()}}, nil
		}}
	s.config.AddHostKey(signer)
	return s, nil
}

func (s *server) hostKey() string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.signer.PublicKey())))
}

// serve takes connections until ctx ends, and returns when all are over.
func (s *server) serve(ctx context.Context, l net.Listener) {
	var all sync.WaitGroup
	defer all.Wait()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.o.Log.Error("SSH takes no more connections", "error", err)
			l.Close()
			return
		}
		select {
		case s.conns <- struct{}{}:
			all.Go(func() { // ends with ctx, which closes the connection
				defer func() { <-s.conns }()
				s.connection(ctx, c)
			})
		default:
			c.Close() // the next try finds room
		}
	}
}

func (s *server) connection(ctx context.Context, c net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	from := c.RemoteAddr().String()
	if err := c.SetDeadline(time.Now().Add(handshake)); err != nil {
		return
	}
	conn, channels, requests, err := ssh.NewServerConn(c, s.config)
	if err != nil {
		s.o.Log.Warn("SSH: somebody was not let in", "from", from, "error", plain.Line(err.Error(), maxWords))
		return
	}
	if err := c.SetDeadline(time.Time{}); err != nil {
		return
	}
	who := conn.Permissions.Extensions[comesBy] + " from " + from
	s.o.Report.Step(rescue.StepLogin, session.Info, who, nil)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel() // what runs for a connection ends with it
	all.Go(func() { ssh.DiscardRequests(requests) })
	slots := make(chan struct{}, maxChannels)
	for nc := range channels {
		if nc.ChannelType() != "session" {
			_ = nc.Reject(ssh.Prohibited, "only shells and commands") // a connection that breaks ends the loop
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			_ = nc.Reject(ssh.ResourceShortage, "too many shells on this connection")
			continue
		}
		ch, reqs, err := nc.Accept()
		if err != nil {
			<-slots
			continue
		}
		all.Go(func() { // ends with ctx, or with the program
			defer func() { <-slots }()
			(&guest{s: s, ch: ch, who: who}).serve(ctx, reqs)
		})
	}
}
