package boot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path"
	"strings"
	"time"

	"github.com/pin/tftp/v3"

	"github.com/diskcast/diskcast/server/netboot"
)

// maxTransfers bounds the TFTP transfers under way: each holds two buffers of 64 KiB.
const maxTransfers = 1024

// TFTP serves a Dir, read-only. It is a task.
type TFTP struct {
	dir     *Dir
	listen  func() (*net.UDPConn, error)
	mtu     int
	decide  netboot.Decider
	starts  netboot.Starter
	observe func(Fetch)
	log     *slog.Logger
	ready   chan struct{}
	slots   chan struct{}
}

// NewTFTP returns a TFTP server on the socket that listen opens. mtu is the interface's, or 0 for Ethernet's.
func NewTFTP(dir *Dir, listen func() (*net.UDPConn, error), mtu int, decide netboot.Decider, starts netboot.Starter,
	observe func(Fetch), log *slog.Logger) *TFTP {
	if observe == nil {
		observe = func(Fetch) {}
	}
	if mtu == 0 {
		mtu = 1500
	}
	return &TFTP{dir: dir, listen: listen, mtu: mtu, decide: decide, starts: starts, observe: observe,
		log: log, ready: make(chan struct{}), slots: make(chan struct{}, maxTransfers)}
}

// Name implements task.Task.
func (t *TFTP) Name() string { return "tftp" }

// Ready implements task.Task.
func (t *TFTP) Ready() <-chan struct{} { return t.ready }

// Run implements task.Task.
func (t *TFTP) Run(ctx context.Context) error {
	conn, err := t.listen()
	if err != nil {
		return err
	}
	srv := tftp.NewServer(func(name string, rf io.ReaderFrom) error { return t.read(ctx, name, rf) }, nil)
	// 28 bytes of IPv4 and UDP headers (IPv6: 48) and 4 of TFTP: a larger block would go out in fragments, which ROMs
	// do not join.
	headers := 32
	if a, ok := conn.LocalAddr().(*net.UDPAddr); ok && a.IP.To4() == nil && a.IP.To16() != nil {
		headers = 52
	}
	srv.SetBlockSize(t.mtu - headers)
	srv.SetTimeout(2 * time.Second)
	srv.SetRetries(6)
	srv.SetHook(hook{t.log})
	close(t.ready)
	// Shutdown waits for the transfers under way; their readers fail when ctx ends.
	down := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { srv.Shutdown(); close(down) })
	err = srv.Serve(conn)
	if stop() {
		return err
	}
	<-down
	return nil
}

func (t *TFTP) read(ctx context.Context, name string, rf io.ReaderFrom) error {
	select {
	case t.slots <- struct{}{}:
		defer func() { <-t.slots }()
	default:
		return errors.New("server busy: too many TFTP transfers")
	}
	fetch := Fetch{Via: "tftp"}
	var from io.Reader
	var size int64
	dir, name := t.dir.find(name)
	if ask, ok := grubNode(name); ok {
		text, shown, err := dir.grubSays(t.decide.Of(ask.mac), t.starts.Of(ask.mac), ask, path.Base(name))
		if err != nil {
			t.log.Error("TFTP request refused", "file", name, "err", err)
			return err
		}
		fetch.File, fetch.MAC, fetch.Lost = shown, ask.mac, lostWords[ask.what]
		from, size = strings.NewReader(text), int64(len(text))
	} else if text, ok, err := dir.grubConfig(name); ok || err != nil {
		if err != nil {
			t.log.Error("TFTP request refused", "file", name, "err", err)
			return err
		}
		fetch.File = path.Base(GRUBConfig)
		from, size = strings.NewReader(text), int64(len(text))
	} else {
		f, info, err := dir.Open(name)
		if err != nil {
			level := slog.LevelInfo
			if optional(name) {
				level = slog.LevelDebug
			}
			t.log.Log(ctx, level, "TFTP request refused", "err", err)
			return errors.New("file not found") // what the client shows: no paths of ours
		}
		defer f.Close()
		fetch.File = info.Name()
		from, size = f, info.Size()
	}
	if out, ok := rf.(tftp.OutgoingTransfer); ok {
		out.SetSize(size)
		peer := out.RemoteAddr()
		a, _ := netip.AddrFromSlice(peer.IP)
		fetch.Addr = a.Unmap()
	}
	fetch.Start = true
	t.observe(fetch)
	n, err := rf.ReadFrom(&ctxReader{ctx, from})
	if err != nil {
		// Firmware asks once for the size only, and aborts: that is no failure.
		t.log.Debug("TFTP transfer ended early", "file", fetch.File, "peer", fetch.Addr, "err", err)
		return err
	}
	fetch.Start, fetch.Bytes = false, n
	t.observe(fetch)
	return nil
}

// ctxReader makes a transfer end with the server.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, fmt.Errorf("server ends: %w", err)
	}
	return c.r.Read(p)
}

type hook struct{ log *slog.Logger }

func (h hook) OnSuccess(s tftp.TransferStats) {
	h.log.Debug("TFTP transfer", "file", s.Filename, "peer", s.RemoteAddr, "took", s.Duration)
}

func (h hook) OnFailure(s tftp.TransferStats, err error) {
	h.log.Debug("TFTP transfer failed", "file", s.Filename, "peer", s.RemoteAddr, "err", err)
}
