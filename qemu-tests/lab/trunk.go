package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Trunk is a port of a switch that carries one VLAN, with its tag: what a machine sends without it is dropped there,
// and it hears nothing without it. On the bridge the VLAN's packets have no tag, as on the ports of others. The lab
// does this itself, since kernels without VLANs are about.
type Trunk struct {
	Netdev string // what QEMU plugs the machine into, behind -netdev and before its id
}

// etherVLAN is the type of a tagged frame (IEEE 802.1Q), maxFrame more than a frame has in bytes.
const (
	etherVLAN = 0x8100
	maxFrame  = 1 << 14
)

// Trunk adds such a port, the n-th of the lab.
func (l *Lab) Trunk(n, id int) (*Trunk, error) {
	ours, theirs := 30000+n, 31000+n
	var port *os.File
	var wire *net.UDPConn
	err := l.Do(func() (err error) {
		if port, err = openPort(fmt.Sprintf("trunk%d", n)); err != nil {
			return err
		}
		local := net.IPv4(127, 0, 0, 1)
		wire, err = net.DialUDP("udp4", &net.UDPAddr{IP: local, Port: ours}, &net.UDPAddr{IP: local, Port: theirs})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("lab: trunk %d: %w", n, err)
	}
	go func() { // ends when the lab is closed
		<-l.ended
		port.Close()
		wire.Close()
	}()
	go carry(port, wire, func(frame []byte) []byte { return tag(frame, id) })   // these end when both are closed
	go carry(wire, port, func(frame []byte) []byte { return untag(frame, id) }) // with the lab
	return &Trunk{Netdev: fmt.Sprintf("socket,udp=127.0.0.1:%d,localaddr=127.0.0.1:%d", ours, theirs)}, nil
}

// openPort adds a tap to the bridge whose other end is this process.
func openPort(name string) (*os.File, error) {
	br, err := netlink.LinkByName(Bridge)
	if err != nil {
		return nil, err
	}
	tap := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: name, MasterIndex: br.Attrs().Index},
		Mode: netlink.TUNTAP_MODE_TAP, Flags: netlink.TUNTAP_ONE_QUEUE | netlink.TUNTAP_NO_PI, Queues: 1,
		NonPersist: true}
	if err := netlink.LinkAdd(tap); err != nil {
		return nil, err
	}
	if len(tap.Fds) != 1 {
		return nil, fmt.Errorf("%s has %d ends", name, len(tap.Fds))
	}
	return tap.Fds[0], netlink.LinkSetUp(tap)
}

// carry moves frames until one end is closed.
func carry(from interface{ Read([]byte) (int, error) }, to interface{ Write([]byte) (int, error) },
	change func([]byte) []byte) {
	for buf := make([]byte, maxFrame); ; {
		n, err := from.Read(buf)
		switch {
		case errors.Is(err, unix.ECONNREFUSED): // the machine is off
			continue
		case err != nil:
			return
		}
		if frame := change(buf[:n]); frame != nil {
			_, _ = to.Write(frame) // a frame that is lost is what networks do
		}
	}
}

// tag is a frame with a VLAN's tag.
func tag(frame []byte, id int) []byte {
	if len(frame) < 14 {
		return nil
	}
	out := append(make([]byte, 0, len(frame)+4), frame[:12]...)
	out = binary.BigEndian.AppendUint16(out, etherVLAN)
	out = binary.BigEndian.AppendUint16(out, uint16(id))
	return append(out, frame[12:]...)
}

// untag is a frame of a VLAN without its tag; nil for any other.
func untag(frame []byte, id int) []byte {
	if len(frame) < 18 || binary.BigEndian.Uint16(frame[12:]) != etherVLAN ||
		int(binary.BigEndian.Uint16(frame[14:])&0xfff) != id {
		return nil
	}
	return append(append(make([]byte, 0, len(frame)-4), frame[:12]...), frame[16:]...)
}
