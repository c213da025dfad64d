// Package nbd serves bytes as a network block device that only reads, which QEMU, nbdkit's clients and Linux have as a
// disk. It is written from the protocol's own document (github.com/NetworkBlockDevice/nbd, doc/proto.md): the fixed
// newstyle handshake, simple replies, one export without a name.
package nbd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Device is what is served.
type Device struct {
	Data io.ReaderAt // may be read by several at once
	Size int64       // bytes
	// Failed is told of each read that failed, and whether the client was told: who is gone has no input/output error.
	// What ends with the context is none. It may be called by several at once.
	Failed func(err error, told bool)
}

// Limits of what strangers may ask for.
const (
	maxClients = 16       // connections at once
	maxRead    = 32 << 20 // bytes of a request; the protocol's own limit for who does not ask for another
	maxOption  = 4096 + 8 // bytes of an option: a name (proto.md, "Values": 4096), and what is asked for
	maxOptions = 64       // of a client
)

// patience is how long a handshake may take. A client that has come through it may be silent for as long as it likes.
const patience = 10 * time.Second

// Serve speaks to the clients of l until ctx ends, and closes it. It returns when no client is left.
func (d *Device) Serve(ctx context.Context, l net.Listener) error {
	serving, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(serving, func() { l.Close() })
	var clients sync.WaitGroup
	defer clients.Wait()
	defer cancel()
	defer stop()
	defer l.Close()
	room := make(chan struct{}, maxClients)
	for {
		c, err := l.Accept()
		if err != nil {
			if serving.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return fmt.Errorf("nbd: %w", err)
		}
		select {
		case room <- struct{}{}:
		default: // who comes when there are too many is sent away
			c.Close()
			continue
		}
		clients.Go(func() { // ends with the connection, or with serving
			defer func() { <-room }()
			defer c.Close()
			defer context.AfterFunc(serving, func() { c.Close() })()
			_ = c.SetDeadline(time.Now().Add(patience))
			wanted, err := d.handshake(c)
			if err != nil || !wanted {
				return // nothing was read, and who is gone hears nothing
			}
			_ = c.SetDeadline(time.Time{})
			_ = d.transmit(ctx, c) // the same
		})
	}
}
