// Package doctor looks for what keeps machines from booting and casts from arriving, on the server and around it:
// another DHCP server, a firewall, a small MTU, a boot directory of another version. Every finding has a cause and a
// command that mends it; what could not be looked at is said, and never counts as well.
//
// A check is one line of the table and one file. It reads, asks and listens; it changes nothing.
package doctor

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/config"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/netboot/dhcp"
)

// Finding is one thing that is wrong, and Report what came of all checks.
type (
	Finding = doc.DoctorFinding
	Report  = doc.DoctorReport
)

// Look is what came of one check.
type Look struct{ doc.DoctorLook }

// maxWords bounds a sentence of a report, in bytes: what strangers say may be in it.
const maxWords = 600

func (l *Look) find(id ID, what, cause, mend string) {
	l.Found = append(l.Found, Finding{ID: id, Grave: graveOf(id), What: plain.Line(what, maxWords),
		Cause: plain.Line(cause, maxWords), Mend: plain.Line(mend, maxWords)})
}

func (l *Look) well(format string, args ...any) {
	l.Well = append(l.Well, plain.Line(fmt.Sprintf(format, args...), maxWords))
}

func (l *Look) not(format string, args ...any) {
	l.Not = append(l.Not, plain.Line(fmt.Sprintf(format, args...), maxWords))
}

// Server is what a server that runs is asked.
type Server interface {
	Nodes(ctx context.Context) ([]doc.Node, error)
	DHCP(ctx context.Context) (*doc.DHCP, error)
}

// Subject is the server that is looked at, as its settings say.
type Subject struct {
	Interface string
	LAN       netip.Prefix // the server's address on the interface
	Broken    error        // why the interface cannot be used; nil: it can
	State     string       // directories
	Store     string
	BootDir   string
	Pin       string // of the server's key; empty where it cannot be read
	DHCP      dhcp.Mode
	TFTP      bool
	HTTP, API netip.AddrPort
	HTTPS     netip.AddrPort // of HTTPS boot; invalid: none
	Groups    netip.Prefix   // of multicast
	People    *config.People // who log in by a provider; nil: nobody
	Querier   bool
	Version   string
	// Patience is how long a querier is listened for; 0 means Patience.
	Patience time.Duration
	Asks     time.Duration // how often queriers ask; 0: as RFC 3376 says
	Server   Server        // nil: it does not answer
	Away     string        // why
	Host     Host
	Log      *slog.Logger
	// Inside says that the server looks at itself while it serves: what would disturb that, or wants root, is left to
	// the command.
	Inside bool
}

// Patience is how long a querier may be silent: it asks every 125 s (RFC 3376, 8.2).
const Patience = 130 * time.Second

// check is one line of the table.
type check struct {
	name string
	lan  bool // it needs the interface
	look func(context.Context, *Subject, *Look)
	// apart is why a server does not look at it by itself; empty: it does.
	apart string
}

var checks = []check{
	{"interface", false, lookInterface, ""},
	{"server", false, lookServer, ""},
	{"dhcp", true, lookDHCP, ""},
	{"boot directory", false, lookBoot, ""},
	{"boot files", true, lookFetch, ""},
	{"firewall", true, lookFirewall, "the rules of the firewall are read by programs of the system, as root"},
	{"multicast", true, lookQuerier, ""},
	{"packets", true, lookPackets, ""},
	{"limits", false, lookLimits, ""},
	{"clock", false, lookClock, ""},
	{"room", false, lookRoom, ""},
	{"images", false, lookImages, ""},
	{"keys", false, lookKeys, ""},
	{"machines", false, lookMachines, ""},
	{"words", false, lookWords, ""},
	{"record", false, lookRecord, ""},
	{"people", false, lookPeople, ""},
}

// Run does all checks, side by side, and returns what came of them in the order of the table.
func Run(ctx context.Context, s *Subject) *Report {
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	if s.Patience == 0 {
		s.Patience = Patience
	}
	r := &Report{V: 1, Interface: s.Interface, Looks: make([]doc.DoctorLook, len(checks))}
	if s.LAN.IsValid() {
		r.Address = s.LAN.Addr().String()
	}
	looks := make([]Look, len(checks))
	var all sync.WaitGroup
	for i, c := range checks {
		l := &looks[i]
		l.Check = c.name
		switch {
		case c.lan && s.Broken != nil:
			l.not("the interface %q cannot be used", s.Interface)
		case c.lan && c.name != "boot files" && s.LAN.Addr().Is6():
			l.not("this is looked at by IPv4 only, and the server's address is %v", s.LAN.Addr())
		case s.Inside && c.apart != "":
			l.not("%s: `sudo diskcast doctor` on the server does that", c.apart)
		default:
			all.Go(func() { c.look(ctx, s, l) }) // ends with ctx at the latest
		}
	}
	all.Wait()
	for i := range looks {
		r.Looks[i] = looks[i].DoctorLook
	}
	return r
}
