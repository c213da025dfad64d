package nbd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Numbers of the handshake (proto.md, "Values" and "Fixed newstyle negotiation").
const (
	magic      = 0x4e42444d41474943 // "NBDMAGIC"
	haveOption = 0x49484156454f5054 // "IHAVEOPT"
	replyMagic = 0x0003e889045565a9

	flagFixed    = 1 << 0 // of both sides
	flagNoZeroes = 1 << 1

	optExportName = 1
	optAbort      = 2
	optList       = 3
	optInfo       = 6
	optGo         = 7

	repAck       = 1
	repServer    = 2
	repInfo      = 3
	repError     = 1 << 31
	repUnsup     = repError + 1
	repInvalid   = repError + 3
	repUnknown   = repError + 6
	repTooBig    = repError + 9
	infoExport   = 0
	infoBlock    = 3
	hasFlags     = 1 << 0 // of the export
	readOnly     = 1 << 1
	sendFlush    = 1 << 2
	multiConn    = 1 << 8
	exportFlags  = hasFlags | readOnly | sendFlush | multiConn
	pageSize     = 4096 // what is best asked for, in bytes
	paddingBytes = 124  // behind the answer to an export's name
)

var errProtocol = errors.New("nbd: not the protocol")

// handshake agrees on the one export; wanted is false when the client said goodbye.
func (d *Device) handshake(c io.ReadWriter) (wanted bool, err error) {
	b := binary.BigEndian.AppendUint64(nil, magic)
	b = binary.BigEndian.AppendUint64(b, haveOption)
	b = binary.BigEndian.AppendUint16(b, flagFixed|flagNoZeroes)
	if _, err := c.Write(b); err != nil {
		return false, err
	}
	var word [4]byte
	if _, err := io.ReadFull(c, word[:]); err != nil {
		return false, err
	}
	flags := binary.BigEndian.Uint32(word[:])
	if flags&^(flagFixed|flagNoZeroes) != 0 {
		return false, fmt.Errorf("%w: client flags %#x", errProtocol, flags)
	}
	for range maxOptions {
		option, data, big, err := readOption(c)
		switch {
		case err != nil:
			return false, err
		case big && option == optExportName: // which has no answer but the export
			return false, fmt.Errorf("%w: a name too long", errProtocol)
		case big:
			err = reply(c, option, repTooBig, nil)
		case option == optExportName && len(data) > 0:
			return false, fmt.Errorf("%w: there is one export, without a name", errProtocol)
		case option == optExportName:
			return true, d.oldExport(c, flags)
		case option == optAbort:
			return false, reply(c, option, repAck, nil)
		case option == optList && len(data) > 0:
			err = reply(c, option, repInvalid, nil)
		case option == optList:
			if err = reply(c, option, repServer, make([]byte, 4)); err == nil { // the length of no name
				err = reply(c, option, repAck, nil)
			}
		case option == optInfo || option == optGo:
			var ok bool
			if ok, err = d.info(c, option, data); err == nil && ok && option == optGo {
				return true, nil
			}
		default:
			err = reply(c, option, repUnsup, nil)
		}
		if err != nil {
			return false, err
		}
	}
	return false, fmt.Errorf("%w: more than %d options", errProtocol, maxOptions)
}

// readOption reads an option; what is too big is skipped.
func readOption(c io.Reader) (option uint32, data []byte, big bool, err error) {
	var head [16]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return 0, nil, false, err
	}
	if binary.BigEndian.Uint64(head[:]) != haveOption {
		return 0, nil, false, fmt.Errorf("%w: no option", errProtocol)
	}
	option, length := binary.BigEndian.Uint32(head[8:]), binary.BigEndian.Uint32(head[12:])
	if length > maxOption {
		if length > maxRead {
			return 0, nil, false, fmt.Errorf("%w: an option of %d bytes", errProtocol, length)
		}
		_, err := io.CopyN(io.Discard, c, int64(length))
		return option, nil, true, err
	}
	data = make([]byte, length)
	_, err = io.ReadFull(c, data)
	return option, data, false, err
}

func reply(c io.Writer, option, kind uint32, data []byte) error {
	b := binary.BigEndian.AppendUint64(nil, replyMagic)
	b = binary.BigEndian.AppendUint32(b, option)
	b = binary.BigEndian.AppendUint32(b, kind)
	b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
	_, err := c.Write(append(b, data...))
	return err
}

// oldExport answers a client that asks by the name alone.
func (d *Device) oldExport(c io.Writer, flags uint32) error {
	b := binary.BigEndian.AppendUint64(nil, uint64(d.Size))
	b = binary.BigEndian.AppendUint16(b, exportFlags)
	if flags&flagNoZeroes == 0 {
		b = append(b, make([]byte, paddingBytes)...)
	}
	_, err := c.Write(b)
	return err
}

// info tells of the export: its size, and in what sizes it is read.
func (d *Device) info(c io.Writer, option uint32, data []byte) (ok bool, err error) {
	name, asked, ok := parseInfo(data)
	switch {
	case !ok:
		return false, reply(c, option, repInvalid, nil)
	case len(name) > 0:
		return false, reply(c, option, repUnknown, nil)
	}
	b := binary.BigEndian.AppendUint16(nil, infoExport)
	b = binary.BigEndian.AppendUint64(b, uint64(d.Size))
	b = binary.BigEndian.AppendUint16(b, exportFlags)
	if err := reply(c, option, repInfo, b); err != nil {
		return false, err
	}
	for _, what := range asked {
		if what != infoBlock {
			continue
		}
		b := binary.BigEndian.AppendUint16(nil, infoBlock)
		for _, n := range []uint32{1, pageSize, maxRead} { // the least, the best, the most
			b = binary.BigEndian.AppendUint32(b, n)
		}
		if err := reply(c, option, repInfo, b); err != nil {
			return false, err
		}
		break
	}
	return true, reply(c, option, repAck, nil)
}

// parseInfo reads a length and a name, and a number and so many numbers of what is asked for.
func parseInfo(data []byte) (name []byte, asked []uint16, ok bool) {
	if len(data) < 4 {
		return nil, nil, false
	}
	length, rest := binary.BigEndian.Uint32(data), data[4:]
	if uint64(length)+2 > uint64(len(rest)) {
		return nil, nil, false
	}
	name, rest = rest[:length], rest[length:]
	n := int(binary.BigEndian.Uint16(rest))
	if rest = rest[2:]; len(rest) != 2*n {
		return nil, nil, false
	}
	for ; len(rest) > 0; rest = rest[2:] {
		asked = append(asked, binary.BigEndian.Uint16(rest))
	}
	return name, asked, true
}
