package dhcp

import (
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/diskcast/diskcast/server/netboot"
)

// TestSilent: a machine that boots nothing from here gets no answer from its firmware's requests, in either mode, and
// its operating system still gets its address in full mode. That it was not answered is told.
func TestSilent(t *testing.T) {
	const mac = "52:54:00:00:00:01"
	for _, mode := range []Mode{Full, Proxy} {
		for i, c := range clients {
			var seen []Seen
			cfg := testConfig(t, mode)
			cfg.Decide = func(string) netboot.What { return netboot.Nothing }
			cfg.Observe = func(s Seen) { seen = append(seen, s) }
			r := testResponder(t, cfg)
			plain := classify(request(t, mac, c.mod)).Kind == Plain
			for _, port := range []int{ServerPort, ProxyPort} {
				for _, kind := range []dhcpv4.MessageType{dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest} {
					reply := answer(t, r, request(t, mac, c.mod, dhcpv4.WithMessageType(kind)), port)
					want := plain && mode == Full && port == ServerPort && kind == dhcpv4.MessageTypeDiscover
					if (reply != nil) != want {
						t.Errorf("%s, client %d, %v on port %d: answered %v, want %v", mode, i, kind, port,
							reply != nil, want)
					}
				}
			}
			silent := 0
			for _, s := range seen {
				if s.Silent {
					silent++
				}
			}
			if want := map[bool]int{true: 0, false: 4}[plain]; silent != want {
				t.Errorf("%s, client %d: told %d times that it was not answered, want %d", mode, i, silent, want)
			}
		}
	}
}

// TestMenuIsLoaded: a machine with a menu is sent to the same first file as one that boots the agent.
func TestMenuIsLoaded(t *testing.T) {
	for i, c := range clients {
		var given [2]string
		for j, what := range []netboot.What{netboot.Agent, netboot.Menu} {
			cfg := testConfig(t, Full)
			cfg.Decide = func(string) netboot.What { return what }
			cfg.Observe = func(s Seen) { given[j] = s.Given }
			answer(t, testResponder(t, cfg), request(t, "52:54:00:00:00:01", c.mod), ServerPort)
		}
		if given[0] != given[1] {
			t.Errorf("client %d: %q with a menu, and %q for the agent", i, given[1], given[0])
		}
	}
}
