// Package wol wakes machines by magic packets: to the broadcast address of the server's network, or, for a machine on
// another segment, to that segment's directed broadcast address or to a relay there that passes the packet on. A magic
// packet has no answer: that it was sent says nothing of the machine.
package wol

import (
	"bytes"
	"context"
	"fmt"
	"net"

	"github.com/diskcast/diskcast/server/power"
)

// Driver is Wake-on-LAN.
var Driver = &power.Driver{Name: "wol",
	Needs: "nothing; --address of a relay or a directed broadcast for another segment",
	Blind: "Wake-on-LAN sends a packet that has no answer: whether the machine came up is seen when it asks for its " +
		"boot",
	Check: check, Open: open}

// port is discard, which NICs listen for and nobody else.
const port = "9"

func address(c *power.Config, h *power.Host) string {
	a := c.Address
	if a == "" && h != nil {
		a = h.Broadcast
	}
	if a == "" {
		a = "255.255.255.255"
	}
	if _, _, err := net.SplitHostPort(a); err != nil {
		a = net.JoinHostPort(a, port)
	}
	return a
}

func check(c *power.Config) error {
	if _, err := net.ResolveUDPAddr("udp4", address(c, nil)); err != nil {
		return fmt.Errorf("address %q: %w", c.Address, err)
	}
	if len(c.MACs) == 0 {
		return fmt.Errorf("machine %s has no NIC that it is known to boot from: name one with --mac", c.Machine)
	}
	for _, mac := range c.MACs {
		if hw, err := net.ParseMAC(mac); err != nil || len(hw) != 6 {
			return fmt.Errorf("%q is no MAC address", mac)
		}
	}
	return nil
}

type waker struct {
	c *power.Config
	h *power.Host
}

func open(c *power.Config, h *power.Host) (power.Device, error) { return &waker{c, h}, check(c) }

// Packet is the magic packet of a NIC: six bytes 0xff, and sixteen times its address.
func Packet(mac net.HardwareAddr) []byte {
	return append(bytes.Repeat([]byte{0xff}, 6), bytes.Repeat(mac, 16)...)
}

// On sends each NIC its packet three times: they are lost as others are, and nobody says so.
func (w *waker) On(ctx context.Context) error {
	conn, err := new(net.Dialer).DialContext(ctx, "udp4", address(w.c, w.h))
	if err != nil {
		return power.Fail(power.Fault, "no way to %s: %w", address(w.c, w.h), err)
	}
	defer conn.Close()
	for range 3 {
		for _, mac := range w.c.MACs {
			hw, err := net.ParseMAC(mac)
			if err != nil {
				return power.Fail(power.Fault, "%w", err)
			}
			if err := w.h.Next(ctx); err != nil {
				return err
			}
			if _, err := conn.Write(Packet(hw)); err != nil {
				return power.Fail(power.Fault, "magic packet to %s: %w", address(w.c, w.h), err)
			}
		}
	}
	return nil
}

func (w *waker) Off(context.Context) error {
	return power.Fail(power.Cannot, "Wake-on-LAN switches nothing off: set up another driver, or use the machine's "+
		"system")
}

func (w *waker) State(context.Context) (power.State, error) {
	return power.Unknown, power.Fail(power.Cannot, "%s", Driver.Blind)
}

func (w *waker) BootOnce(context.Context, power.Boot) error {
	return power.Fail(power.Cannot, "Wake-on-LAN sets no boot device")
}

func (w *waker) Boot(context.Context) (power.Boot, error) {
	return "", power.Fail(power.Cannot, "%s", Driver.Blind)
}

func (w *waker) Close() {}
