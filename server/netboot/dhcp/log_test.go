package dhcp

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
)

// A MAC address is a MAC address in the log, not its bytes.
func TestLogOfARequest(t *testing.T) {
	var out bytes.Buffer
	cfg := testConfig(t, Full)
	cfg.Log = slog.New(slog.NewTextHandler(&out, nil))
	cfg.Ask = func(context.Context, netip.Addr, net.HardwareAddr) (net.HardwareAddr, error) {
		return nil, errors.New("no carrier")
	}
	s := NewServer("none", testResponder(t, cfg))
	s.handle(t.Context(), nil, ServerPort, nil, request(t, "52:54:00:0d:00:01", clients[1].mod).ToBytes())
	if got := out.String(); !strings.Contains(got, "mac=52:54:00:0d:00:01") || !strings.Contains(got, "no carrier") {
		t.Errorf("log: %s", got)
	}
}
