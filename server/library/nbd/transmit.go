package nbd

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Numbers of the transmission (proto.md, "Transmission phase").
const (
	requestMagic = 0x25609513
	simpleReply  = 0x67446698

	cmdRead  = 0
	cmdWrite = 1
	cmdBye   = 2
	cmdFlush = 3

	flagFUA = 1 << 0

	errPerm    = 1
	errIO      = 5
	errInvalid = 22
)

// request is what a client asks for.
type request struct {
	flags, command uint16
	cookie         uint64
	offset         uint64
	length         uint32
}

func readRequest(c io.Reader) (r request, err error) {
	var b [28]byte
	if _, err := io.ReadFull(c, b[:]); err != nil {
		return r, err
	}
	if binary.BigEndian.Uint32(b[:]) != requestMagic {
		return r, fmt.Errorf("%w: no request", errProtocol)
	}
	return request{flags: binary.BigEndian.Uint16(b[4:]), command: binary.BigEndian.Uint16(b[6:]),
		cookie: binary.BigEndian.Uint64(b[8:]), offset: binary.BigEndian.Uint64(b[16:]),
		length: binary.BigEndian.Uint32(b[24:])}, nil
}

// transmit answers requests, one after another, until the client goes, or a read ends with ctx.
func (d *Device) transmit(ctx context.Context, c io.ReadWriter) error {
	var buf []byte
	for {
		r, err := readRequest(c)
		if err != nil {
			return err
		}
		answer, number, failed := buf[:0], uint32(0), error(nil)
		switch {
		case r.command == cmdBye:
			return nil
		case r.command == cmdWrite: // what is to be written comes right behind
			if r.length > maxRead {
				return fmt.Errorf("%w: a write of %d bytes", errProtocol, r.length)
			}
			if _, err := io.CopyN(io.Discard, c, int64(r.length)); err != nil {
				return err
			}
			number = errPerm
		case r.flags&^flagFUA != 0:
			number = errInvalid
		case r.command == cmdFlush:
		case r.command != cmdRead:
			number = errPerm // all that there is else would change something
		case r.length == 0 || r.length > maxRead || r.offset > uint64(d.Size) ||
			uint64(r.length) > uint64(d.Size)-r.offset:
			number = errInvalid
		default:
			if cap(buf) < headBytes+int(r.length) {
				buf = make([]byte, headBytes+int(r.length))
			}
			answer = buf[headBytes : headBytes+int(r.length)]
			if n, err := d.Data.ReadAt(answer, int64(r.offset)); n < len(answer) {
				if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
					return err // it was not read to its end, which says nothing of the disk
				}
				failed = fmt.Errorf("%d bytes from byte %d on: %w", r.length, r.offset, err)
				answer, number = answer[:0], errIO
			}
		}
		err = respond(c, &buf, r.cookie, number, len(answer))
		if failed != nil && d.Failed != nil {
			d.Failed(failed, err == nil)
		}
		if err != nil {
			return err
		}
	}
}

// headBytes are a simple reply's own.
const headBytes = 16

// respond sends a reply, whose n bytes of data lie behind its head in buf already.
func respond(c io.Writer, buf *[]byte, cookie uint64, number uint32, n int) error {
	if cap(*buf) < headBytes {
		*buf = make([]byte, headBytes)
	}
	b := (*buf)[:headBytes+n]
	binary.BigEndian.PutUint32(b, simpleReply)
	binary.BigEndian.PutUint32(b[4:], number)
	binary.BigEndian.PutUint64(b[8:], cookie)
	_, err := c.Write(b)
	return err
}
