package serve

import (
	"net/netip"
	"path/filepath"
	"time"

	"github.com/diskcast/diskcast/internal/sealed"
	"github.com/diskcast/diskcast/server/power"
	"github.com/diskcast/diskcast/server/power/command"
	"github.com/diskcast/diskcast/server/power/desk"
	"github.com/diskcast/diskcast/server/power/drivers"
	"github.com/diskcast/diskcast/server/store"
)

// pause is between two messages to one BMC: many fall over when they come in bursts.
const pause = 200 * time.Millisecond

func newPower(state string, prefix netip.Prefix, db store.Store, key *sealed.Key) (*desk.Desk, error) {
	commands, err := command.Read(filepath.Join(state, command.File))
	if err != nil {
		return nil, err
	}
	return desk.New(desk.Config{Store: db, Key: key, Drivers: drivers.All, Commands: commands,
		Broadcast: broadcast(prefix), Timing: power.Usual, Pause: pause}), nil
}

// broadcast is the last address of an IPv4 network, which its kernel sends by the interface that is on it; nothing for
// others.
func broadcast(p netip.Prefix) string {
	if !p.Addr().Is4() {
		return ""
	}
	a := p.Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		a[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(a).String()
}
