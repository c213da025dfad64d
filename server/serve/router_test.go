package serve

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/server/netboot/dhcp"
)

// TestRouterOffTheLAN: a server that would give machines a router which they cannot reach does not start.
func TestRouterOffTheLAN(t *testing.T) {
	cfg := Config{DHCP: dhcp.Full, Range: "10.0.0.100-10.0.0.120", Router: netip.MustParseAddr("10.99.99.1"),
		Log: slog.New(slog.DiscardHandler)}
	_, err := newDHCP(t.Context(), cfg, &Info{}, netip.MustParsePrefix("10.0.0.1/24"), nil, nil, &observer{})
	if err == nil || !strings.Contains(err.Error(), "the router 10.99.99.1 is not within 10.0.0.0/24") {
		t.Errorf("%v", err)
	}
}
