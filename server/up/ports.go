package up

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/server/netboot/dhcp"
	"github.com/diskcast/diskcast/server/netboot/udpport"
)

// ports tries each port that the server will listen on, unless it does already.
func (w *work) ports(ctx context.Context) error {
	if w.ours {
		return nil
	}
	type udp struct {
		port int
		what string
	}
	var want []udp
	if w.set.DHCP != string(dhcp.Off) {
		want = append(want, udp{dhcp.ServerPort, "DHCP: stop that program, or set `dhcp = \"off\"` and send machines " +
			"here with it"}, udp{dhcp.ProxyPort, "PXE: stop that program"})
	}
	if w.set.TFTP {
		want = append(want, udp{69, "TFTP: stop that program, or set `tftp = false` and leave TFTP to it"})
	}
	for _, p := range want {
		c, err := udpport.Listen(w.set.Interface, p.port)
		if err != nil {
			return fmt.Errorf("%w, and this server needs it for %s", err, p.what)
		}
		c.Close()
	}
	for _, p := range []struct{ key, addr string }{{"http", w.set.HTTP}, {"listen", w.set.Listen}} {
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", p.addr)
		if err == nil {
			l.Close()
			continue
		}
		if !errors.Is(err, unix.EADDRINUSE) {
			return fmt.Errorf("%s %q: %w", p.key, p.addr, err)
		}
		by := "another program"
		if _, port, err := net.SplitHostPort(p.addr); err == nil {
			if n, err := strconv.Atoi(port); err == nil {
				if h := udpport.HoldersTCP(n); h != "" {
					by = h
				}
			}
		}
		return fmt.Errorf("TCP %s is in use by %s: stop that program, or set another address for `%s` in the settings "+
			"file (`diskcast config example`)", p.addr, by, p.key)
	}
	return nil
}
