package solicit

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/testenv/nettest"
	"github.com/diskcast/diskcast/internal/testenv/proc"
)

// TestAdvertise has another program ask what is on the link, and read what it is told.
func TestAdvertise(t *testing.T) {
	rdisc6 := need.Tool(t, "rdisc6")
	for _, c := range []struct {
		name    string
		managed bool
		want    []string
	}{
		{"addresses by DHCPv6", true, []string{"Stateful address conf.    :          Yes",
			"Stateful other conf.      :          Yes", "Autonomous address conf.:           No"}},
		{"addresses of their own", false, []string{"Stateful address conf.    :           No",
			"Autonomous address conf.:          Yes"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := nettest.New(t)
			n.Do(func() {
				if err := nettest.WaitLinkLocal(nettest.Server); err != nil {
					t.Error(err)
				}
			})
			s := New(nettest.Server, slog.New(slog.DiscardHandler))
			mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
			s.Advertise(Advertisement{Prefix: netip.MustParsePrefix("fd00:5::1/64"), Managed: c.managed,
				DNS: []netip.Addr{netip.MustParseAddr("fd00:5::53")}, MAC: mac})
			ctx, cancel := context.WithCancel(t.Context())
			done := n.Go(func() {
				if err := s.Run(ctx); err != nil {
					t.Errorf("server: %v", err)
				}
			})
			defer func() { cancel(); <-done }()
			<-s.Ready()
			var out []byte
			var err error
			n.DoClient(func() {
				if err = nettest.WaitLinkLocal(nettest.Client); err != nil {
					return
				}
				asking, stop := context.WithTimeout(t.Context(), 20*time.Second)
				defer stop()
				cmd := exec.CommandContext(asking, rdisc6, "-1", "-w", "5000", nettest.Client)
				proc.Bind(cmd)
				out, err = cmd.CombinedOutput()
			})
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, want := range append(c.want, "Router lifetime           :            0 (0x00000000) seconds",
				"Prefix                   : fd00:5::/64", "On-link                 :          Yes",
				"Valid time              :        86400", "Pref. time              :        14400",
				"Recursive DNS server     : fd00:5::53", "Source link-layer address: 02:00:00:00:00:01") {
				if !strings.Contains(string(out), want) {
					t.Errorf("it does not read %q in\n%s", want, out)
				}
			}
		})
	}
}
