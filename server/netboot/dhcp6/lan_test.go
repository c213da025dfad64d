package dhcp6

import (
	"context"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/testenv/nettest"
	"github.com/diskcast/diskcast/internal/testenv/proc"
	"github.com/diskcast/diskcast/server/netboot/udpport"
)

// serve runs a server on the LAN until the test ends.
func serve(t *testing.T, n *nettest.Net) *Responder {
	t.Helper()
	var r *Responder
	n.Do(func() {
		if err := nettest.WaitLinkLocal(nettest.Server); err != nil {
			t.Error(err)
			return
		}
		ifi, err := net.InterfaceByName(nettest.Server)
		if err != nil {
			t.Error(err)
			return
		}
		cfg := config(nil)
		cfg.MAC, cfg.DNS = ifi.HardwareAddr, []netip.Addr{netip.MustParseAddr("fd00:5::53")}
		r = responder(t, cfg)
	})
	if t.Failed() {
		t.FailNow()
	}
	s := NewServer(nettest.Server, r)
	ctx, cancel := context.WithCancel(t.Context())
	done := n.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Errorf("server: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); <-done })
	select {
	case <-s.Ready():
	case <-done:
		t.FailNow()
	}
	return r
}

// TestDhclient is ISC's client: a lease in two steps, and the name server.
func TestDhclient(t *testing.T) {
	dhclient := need.Tool(t, "dhclient")
	n := nettest.New(t)
	r := serve(t, n)
	dir := t.TempDir()
	leases := filepath.Join(dir, "leases")
	var out []byte
	var err error
	var want string
	n.DoClient(func() {
		if err = nettest.WaitLinkLocal(nettest.Client); err != nil {
			return
		}
		var ifi *net.Interface
		if ifi, err = net.InterfaceByName(nettest.Client); err != nil {
			return
		}
		want = r.address("mac "+string(ifi.HardwareAddr), r.cfg.Boot.Server.Masked()).String()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, dhclient, "-6", "-1", "-d", "-v", "-sf", "/bin/true", "-lf", leases, "-pf",
			filepath.Join(dir, "pid"), "-cf", "/dev/null", "--no-pid", nettest.Client)
		proc.Bind(cmd)
		out, err = said(cmd, want)
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "IAADDR "+want) {
		t.Errorf("dhclient says nothing of %s:\n%s", want, out)
	}
}

// said runs a program until it has said that it is bound to an address: dhclient stays to renew.
func said(cmd *exec.Cmd, addr string) ([]byte, error) {
	pipe, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	var all []byte
	for buf := make([]byte, 4096); ; {
		n, err := pipe.Read(buf)
		all = append(all, buf[:n]...)
		if strings.Contains(string(all), "PRC: Bound") || strings.Contains(string(all), "Bound to lease") {
			return all, nil
		}
		if err != nil {
			return all, err
		}
	}
}

// TestPortIsTaken: another DHCPv6 server on this machine is named, and not served beside.
func TestPortIsTaken(t *testing.T) {
	n := nettest.New(t)
	n.Do(func() {
		c, err := udpport.Listen6(nettest.Server, ServerPort)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		err = NewServer(nettest.Server, responder(t, config(nil))).Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), "dhcp6.test (pid ") || !strings.Contains(err.Error(),
			"--dhcp off") {
			t.Errorf("%v, want who has the port and what to do", err)
		}
	})
}
