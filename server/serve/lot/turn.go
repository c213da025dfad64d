package lot

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// turnKey is the key of a request's turn in its context.
type turnKey struct{}

// turn is a connection as net/http has it, for one request or, where they come without waiting for answers, more.
type turn struct {
	*conn
	bad  error // of the handshake
	idle bool  // net/http looks for the next request
	more bool  // it has served more than one
	park bool  // what net/http closes is not closed but watched
	once sync.Once

	line bool // something stands in the line that is being read
	head bool // all of the request's head was read
	body int64
	want int64 // bytes of the body
	wait *wait

	mu     sync.Mutex
	beyond bool // while net/http answered more was read, or is being read
}

func (t *turn) LocalAddr() net.Addr                 { return t.tls.LocalAddr() }
func (t *turn) RemoteAddr() net.Addr                { return t.tls.RemoteAddr() }
func (t *turn) SetDeadline(at time.Time) error      { return t.tls.SetDeadline(at) }
func (t *turn) SetReadDeadline(at time.Time) error  { return t.tls.SetReadDeadline(at) }
func (t *turn) SetWriteDeadline(at time.Time) error { return t.tls.SetWriteDeadline(at) }
func (t *turn) Write(p []byte) (int, error)         { return t.write(p) }
func (t *turn) CloseWrite() error                   { return t.tls.CloseWrite() }

// plainHTTP is what net/http says to who speaks no TLS.
const plainHTTP = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"

// ConnectionState is asked for by net/http before it reads, and does the handshake.
func (t *turn) ConnectionState() tls.ConnectionState {
	if s := t.tls.ConnectionState(); s.HandshakeComplete {
		return s
	}
	ctx, cancel := context.WithTimeout(t.lot.ctx, t.lot.limit.First)
	defer cancel()
	// Not said to wait for the peer: its stack is the deepest of all, and thousands may come in a second.
	if t.bad = t.tls.HandshakeContext(ctx); t.bad == nil {
		return t.tls.ConnectionState()
	}
	t.lot.log.Debug("TLS handshake failed", "peer", t.tls.RemoteAddr(), "err", t.bad)
	var head tls.RecordHeaderError
	if errors.As(t.bad, &head) && head.Conn != nil && speaksHTTP(string(head.RecordHeader[:])) {
		_, _ = io.WriteString(head.Conn, plainHTTP) // it is closed in any case
	}
	return tls.ConnectionState{}
}

// speaksHTTP reports whether five bytes are the beginning of a plain request.
func speaksHTTP(head string) bool {
	switch head {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		return true
	}
	return false
}

func (t *turn) Read(p []byte) (int, error) {
	if t.bad != nil {
		return 0, io.EOF // as who has gone, so that nothing is answered
	}
	if t.idle {
		if !pending(t.tls) {
			t.park = true
			return 0, io.EOF
		}
		t.idle, t.more = false, true
	}
	if len(p) == 1 && !pending(t.tls) {
		// That is how net/http looks while it answers whether its peer has gone: for that no deep stack is needed.
		if err := t.something(); err != nil {
			return 0, err
		}
		t.mu.Lock()
		t.beyond = true
		t.mu.Unlock()
	} else {
		t.onPeer.Store(true)
		defer t.onPeer.Store(false)
	}
	n, err := t.tls.Read(p)
	t.heed(p[:n])
	return n, err
}

// something waits until there is something to read, or the peer has gone.
func (t *turn) something() error {
	return t.raw.Read(func(fd uintptr) bool {
		var one [1]byte
		err := error(unix.EINTR)
		for err == unix.EINTR {
			_, _, err = unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		}
		return err != unix.EAGAIN
	})
}

// heed counts what was read of the body.
func (t *turn) heed(b []byte) {
	for i := 0; i < len(b) && !t.head; i++ {
		switch b[i] {
		case '\n':
			t.head, t.line = !t.line, false
			if t.head {
				t.body = int64(len(b) - i - 1)
				return
			}
		case '\r':
		default:
			t.line = true
		}
	}
	if t.head {
		t.body += int64(len(b))
	}
}

// exact reports whether nothing was read beyond the one request, whose body has so many bytes.
func (t *turn) exact(body int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.beyond && t.head && !t.more && t.body == body && !pending(t.tls)
}

// Close is net/http's when it has done with the connection.
func (t *turn) Close() error {
	t.once.Do(func() {
		switch {
		case t.wait != nil:
			t.wait.last = !t.exact(t.want) // what was read of the next request is lost
			t.begin(t.wait)
		case t.park:
			t.conn.park(t.lot.limit.Idle)
		default:
			t.shut()
		}
	})
	return nil
}
