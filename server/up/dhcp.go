package up

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/netboot/dhcp"
)

// chooseDHCP listens on the LAN, unless the settings file or the server that runs says how it is.
func (w *work) chooseDHCP(ctx context.Context) error {
	if w.Result.File != nil {
		if err := w.fileFits(); err != nil {
			return err
		}
		w.step(Chosen, "DHCP %s: %s says so", w.set.DHCP, w.Result.File.Name)
		return nil
	}
	switch w.Options.DHCP {
	case "", string(dhcp.Proxy), string(dhcp.Full):
	default:
		return fmt.Errorf("--dhcp %q is neither proxy nor full", w.Options.DHCP)
	}
	heard, err := w.Host.Look(ctx, w.set.Interface, w.Log)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	var giving []string
	for _, s := range heard {
		if dhcp.GivesAddresses(s) {
			giving = append(giving, name(s))
		}
	}
	others, n := strings.Join(giving, ", "), len(giving)
	switch {
	case w.Options.DHCP == string(dhcp.Full) && n > 0:
		return fmt.Errorf("a DHCP server gives addresses on the LAN of %s: %s; two of them give one address to two "+
			"machines. Leave --dhcp full out, and it gives the addresses; or stop it", w.set.Interface, others)
	case w.Options.DHCP == string(dhcp.Full):
		return w.full()
	case w.Options.DHCP == string(dhcp.Proxy) && n == 0:
		w.step(Chosen, "DHCP proxy: told so; no DHCP server answered on %s within %v, and nodes need one",
			w.set.Interface, dhcp.LookFor)
	case n == 0:
		return fmt.Errorf("no DHCP server answered on %s within %v, and nodes need addresses: with a LAN of your own, "+
			"`diskcast up --dhcp full` gives them; where a DHCP server will be or answers only machines that it "+
			"knows, `diskcast up --dhcp proxy` leaves them to it", w.set.Interface, dhcp.LookFor)
	default:
		w.step(Chosen, "DHCP proxy: %s gives addresses on %s, and this server adds what network boot needs", others,
			w.set.Interface)
	}
	w.set.DHCP = string(dhcp.Proxy)
	if w.Range != "" {
		return errors.New("--dhcp-range without --dhcp full: the other DHCP server gives the addresses")
	}
	return nil
}

// fileFits refuses a settings file that was written for another LAN: the server would not start with it.
func (w *work) fileFits() error {
	if w.set.DHCP != string(dhcp.Full) {
		return nil
	}
	where := func(key string) string {
		for _, v := range w.Result.File.Values {
			if v.Name == key {
				return fmt.Sprintf("%s:%d", w.Result.File.Name, v.Line)
			}
		}
		return w.Result.File.Name
	}
	const change = "change the file, or move it away and run this again"
	if _, err := dhcp.ParseRange(w.set.Range, w.lan); err != nil {
		return fmt.Errorf("%s: %w (%s has %v now): %s", where("dhcp-range"), err, w.set.Interface, w.lan, change)
	}
	if r, err := netip.ParseAddr(w.set.Router); err == nil {
		if err := dhcp.CheckRouter(r, w.lan); err != nil {
			return fmt.Errorf("%s: %w: %s", where("router"), err, change)
		}
	}
	return nil
}

func name(s doc.DHCPServer) string {
	if s.MAC == "" {
		return s.Server
	}
	return s.Server + " (MAC address " + s.MAC + ")"
}

func (w *work) full() error {
	w.set.DHCP = string(dhcp.Full)
	if w.set.Range = w.Range; w.set.Range == "" {
		r, err := upperHalf(w.lan)
		if err != nil {
			return err
		}
		w.set.Range = r
	}
	if _, err := dhcp.ParseRange(w.set.Range, w.lan); err != nil {
		return err
	}
	w.step(Chosen, "DHCP full: told so, and no other DHCP server answered on %s; gives %s", w.set.Interface,
		w.set.Range)
	return nil
}

// upperHalf is the range of the upper half of a LAN, of at most 1024 addresses, without its broadcast address.
func upperHalf(lan netip.Prefix) (string, error) {
	host := 32 - lan.Bits()
	if host < 3 {
		return "", fmt.Errorf("%v has too few addresses to give: name them with --dhcp-range", lan.Masked())
	}
	b := lan.Masked().Addr().As4()
	base := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	last := base + 1<<host - 2
	first := max(base+1<<(host-1), last-1023)
	addr := func(n uint32) netip.Addr {
		return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
	}
	return dhcp.Range{First: addr(first), Last: addr(last)}.String(), nil
}
