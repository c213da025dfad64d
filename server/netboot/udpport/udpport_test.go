package udpport

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/nettest"
)

func TestListen(t *testing.T) {
	nettest.New(t).Do(func() {
		for _, c := range []struct {
			name          string
			first, second func(string, int) (interface{ Close() error }, error)
			refused       bool
		}{
			{"two alone", alone, alone, true},
			{"alone, then one that would share", alone, shared, true},
			{"one that would share, then alone", shared, alone, true},
			{"two that share", shared, shared, false},
		} {
			one, err := c.first(nettest.Server, 67)
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				return
			}
			two, err := c.second(nettest.Server, 67)
			var inUse *InUseError
			if errors.As(err, &inUse) != c.refused {
				t.Errorf("%s: %v", c.name, err)
			}
			if self := fmt.Sprintf("(pid %d)", os.Getpid()); c.refused &&
				(err == nil || !strings.Contains(err.Error(), self)) {
				t.Errorf("%s: %v: does not say %s", c.name, err, self)
			}
			if err == nil {
				two.Close()
			}
			// The other interface's port is another.
			lo, err := alone("lo", 67)
			if err != nil {
				t.Errorf("%s: the same port of lo: %v", c.name, err)
			} else {
				lo.Close()
			}
			one.Close()
		}
		if _, err := Listen("nic9", 67); err == nil || !strings.Contains(err.Error(), "nic9") {
			t.Errorf("an interface that is not there: %v", err)
		}
	})
}

func alone(i string, p int) (interface{ Close() error }, error)  { return Listen(i, p) }
func shared(i string, p int) (interface{ Close() error }, error) { return ListenShared(i, p) }

func TestInodes(t *testing.T) {
	const text = `   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ` +
		`ref pointer drops
  371: 00000000:0043 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 31415 2 0000000000000000 0
  372: 0100007F:0044 00000000:0000 07 00000000:00000000 00:00000000 00000000   100        0 92653 2 0000000000000000 0
  373: 0100007F:0043 00000000:0000 07 00000000:00000000 00:00000000 00000000   100        0 58979 2 0000000000000000 0
short line
`
	if got := inodes(text, 67); !slices.Equal(got, []string{"31415", "58979"}) {
		t.Error(got)
	}
}

// TestAnotherServer: who starts a second server on a machine is told that it is one, and not another program.
func TestAnotherServer(t *testing.T) {
	for _, c := range []struct{ name, args, want string }{
		{"diskcast", "diskcast\x00serve\x00--interface\x00eth1\x00", "another diskcast server"},
		{"diskcast", "/usr/bin/diskcast\x00--debug\x00up\x00", "another diskcast server"},
		{"diskcast", "diskcast\x00cast\x00send\x00serve.img\x00", "diskcast"},
		{"diskcast", "", "diskcast"},
		{"dnsmasq", "dnsmasq\x00serve\x00", "dnsmasq"},
	} {
		if got := called(c.name, c.args); got != c.want {
			t.Errorf("%s %q: %q, want %q", c.name, c.args, got, c.want)
		}
	}
}
