package serve

import (
	"net/netip"
	"testing"
)

func TestBroadcast(t *testing.T) {
	for prefix, want := range map[string]string{"10.0.0.1/24": "10.0.0.255", "172.16.5.9/12": "172.31.255.255",
		"192.0.2.129/25": "192.0.2.255", "fd00::1/64": ""} {
		if got := broadcast(netip.MustParsePrefix(prefix)); got != want {
			t.Errorf("%s: %q, want %q", prefix, got, want)
		}
	}
}
