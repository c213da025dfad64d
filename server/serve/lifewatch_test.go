package serve

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/server/engine"
)

// TestLifeWatch reads the banner of an SSH server; it believes no other greeting, nobody who has another hardware
// address, and asks nobody outside of its LAN.
func TestLifeWatch(t *testing.T) {
	const mac = "52:54:00:00:00:01"
	// Nobody is at the first.
	addrs := []netip.Addr{netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.1")}
	for _, c := range []struct {
		name, greeting, neighbour string
		lan                       string
		want                      string
	}{
		{"SSH", "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", mac, "127.0.0.0/8",
			"SSH answers at 127.0.0.1 (SSH-2.0-OpenSSH_9.2p1 Debian-2)"},
		{"mail", "220 mail.example.org\r\n", mac, "127.0.0.0/8", ""},
		{"endless", strings.Repeat("SSH-", 1000), mac, "127.0.0.0/8", ""},
		{"another machine", "SSH-2.0-x\n", "52:54:00:00:00:02", "127.0.0.0/8", ""},
		{"another network", "SSH-2.0-x\n", mac, "10.0.0.0/8", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() { // ends when the listener closes
				defer close(done)
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					fmt.Fprint(conn, c.greeting)
					conn.Close()
				}
			}()
			said := ""
			_, port, _ := net.SplitHostPort(l.Addr().String())
			w := &lifeWatch{lan: netip.MustParsePrefix(c.lan), port: port, log: slog.New(slog.DiscardHandler),
				awaited: func() []engine.Awaited {
					return []engine.Awaited{{Node: "n", MACs: []string{mac}, Addrs: addrs}}
				},
				lives:     func(node, sign string) { said = sign },
				neighbour: func(netip.Addr) string { return c.neighbour }}
			w.look(t.Context())
			l.Close()
			<-done
			if said != c.want {
				t.Errorf("it said %q, want %q", said, c.want)
			}
		})
	}
}
