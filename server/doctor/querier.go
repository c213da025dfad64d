package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/cast"
	"github.com/diskcast/diskcast/internal/cast/querier"
)

// queryInterval is how often a querier asks (RFC 3376, 8.2).
const queryInterval = 125 * time.Second

// lookQuerier listens for one who asks hosts for their multicast groups, unless the server does that itself.
func lookQuerier(ctx context.Context, s *Subject, l *Look) {
	switch {
	case s.Querier && s.Server != nil:
		l.well("the server asks hosts for their groups itself, or leaves it to another querier that it hears")
		return
	case s.Querier:
		l.well("the server asks hosts for their groups itself when it runs")
		return
	}
	every := s.Asks
	if every == 0 {
		every = queryInterval
	}
	waiting, cancel := context.WithTimeout(ctx, s.Patience)
	defer cancel()
	from, err := querier.Hear(waiting, s.Interface, cast.LastGroup(s.Groups))
	switch {
	case err == nil && from.IsUnspecified():
		l.well("a switch asks hosts for their groups")
	case err == nil:
		l.well("%v asks hosts for their groups", from)
	case !errors.Is(err, context.DeadlineExceeded):
		l.not("whether somebody asks hosts for their groups (IGMP): %v", err)
	case s.Patience < every:
		l.not("whether somebody asks hosts for their groups (IGMP): nobody did within %v, and a querier asks every "+
			"%v: `diskcast doctor --patience %v` listens longer", s.Patience, every, Patience)
	default:
		silence(s, l)
	}
}

// silence is said where nobody asks: by a bridge of this machine, where it is seen to snoop, else by switches.
func silence(s *Subject, l *Look) {
	what := fmt.Sprintf("nobody asked hosts for their multicast groups (IGMP) within %v, and querier = false",
		s.Patience)
	mend := "`diskcast serve --querier` (querier = true in the settings file, which is the default), or the querier " +
		"of the switch"
	if bridge := snooping(s.Interface); bridge != "" {
		l.find(SnoopingAlone, what+"; the bridge "+bridge+" of this machine snoops",
			"a bridge that snoops forgets the members of a group that nobody asks for, and casts stop arriving",
			mend+", or: ip link set "+bridge+" type bridge mcast_querier 1")
		return
	}
	l.find(QuerierNone, what,
		"a switch with IGMP snooping forgets the members of a group that nobody asks for, and casts stop arriving",
		mend)
}

// snooping is the bridge that the interface is, or is a port of, where it snoops and does not ask; empty for none.
func snooping(iface string) string {
	dir := filepath.Join("/sys/class/net", iface)
	name := iface
	if to, err := os.Readlink(filepath.Join(dir, "brport", "bridge")); err == nil {
		name = filepath.Base(to)
		dir = filepath.Join("/sys/class/net", name)
	}
	is := func(file string) bool {
		b, err := os.ReadFile(filepath.Join(dir, "bridge", file))
		return err == nil && strings.TrimSpace(string(b)) == "1"
	}
	if is("multicast_snooping") && !is("multicast_querier") {
		return name
	}
	return ""
}
