package doc

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/session"
)

// MaxNodes bounds the nodes of a session and of a server.
const MaxNodes = 20000

// NodeID makes the name of a node from a MAC address in any of the usual forms: 52-54-00-12-34-56.
func NodeID(mac string) (string, error) {
	hw, err := net.ParseMAC(mac)
	if err != nil || len(hw) != 6 {
		return "", fmt.Errorf("node %.40q is not a MAC address such as 52:54:00:12:34:56", mac)
	}
	switch {
	case hw[0]&1 != 0: // IEEE 802: the first bit on the wire; all-ones is one of them
		return "", fmt.Errorf("%s is the address of a group, which no machine's own is", hw)
	case bytes.Equal(hw, make([]byte, 6)):
		return "", fmt.Errorf("%s is no machine's address", hw)
	}
	return strings.ReplaceAll(hw.String(), ":", "-"), nil
}

// awaited is the id of a machine in the place of a node that has not come, and whose NICs nobody knows.
var awaited = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^m[1-9][0-9]{0,18}$`)
})

// CheckVersion refuses a spec of another version than the server's.
func (s *Spec) CheckVersion() error {
	if s.V != session.Version {
		return fmt.Errorf("%w: session spec has v=%d, this server speaks v=%d", session.ErrVersion, s.V,
			session.Version)
	}
	return nil
}

// Check says what is wrong with what specs of all kinds have, and brings node names into their one form.
func (s *Spec) Check() error {
	chosen := 0
	for _, b := range []bool{s.All, s.Count != 0, len(s.Nodes) > 0} {
		if b {
			chosen++
		}
	}
	if chosen != 1 {
		return errors.New("say which nodes: all, how many, which MAC addresses, or a selector")
	}
	if s.Count < 0 || s.Count > MaxNodes || len(s.Nodes) > MaxNodes {
		return fmt.Errorf("number of nodes is not in 1..%d", MaxNodes)
	}
	seen := map[string]bool{}
	for i, n := range s.Nodes {
		id, err := NodeID(n)
		if err != nil && !awaited().MatchString(n) {
			return err
		} else if err != nil {
			id = n
		}
		if seen[id] {
			return fmt.Errorf("node %s is named twice", id)
		}
		seen[id] = true
		s.Nodes[i] = id
	}
	limit := MaxNodes
	if s.Count > 0 {
		limit = s.Count
	} else if len(s.Nodes) > 0 {
		limit = len(s.Nodes)
	}
	if s.MinNodes < 0 || s.MinNodes > limit {
		return fmt.Errorf("min-nodes %d is not in 0..%d", s.MinNodes, limit)
	}
	const year = 365 * 24 * 3600
	if !(s.MaxWait >= 0 && s.MaxWait <= year) || !(s.GiveUp >= 0 && s.GiveUp <= year) ||
		!(s.ExpectAlive >= 0 && s.ExpectAlive <= year) { // also refuses NaN
		return errors.New("a waiting time is negative or longer than a year")
	}
	if s.Rate < 0 || (s.Rate > 0 && s.Rate < 100_000) {
		return fmt.Errorf("rate %d bit/s is below 100 kbit/s", s.Rate)
	}
	if err := s.checkDisks(); err != nil {
		return err
	}
	return s.checkStart()
}

// Bounds on what a spec says of when it starts.
const (
	maxPriority = 1000
	maxNotes    = 4096 // bytes
)

func (s *Spec) checkStart() error {
	switch {
	case s.Priority < -maxPriority || s.Priority > maxPriority:
		return fmt.Errorf("priority %d is not in %d..%d", s.Priority, -maxPriority, maxPriority)
	case len(s.Notes) > maxNotes:
		return fmt.Errorf("the notes are longer than %d bytes", maxNotes)
	case plain.Text(s.Notes) != s.Notes:
		return errors.New("the notes have characters that cannot be printed")
	case len(s.RetryOf) > 32:
		return errors.New("retry_of is no session's id")
	}
	for _, name := range []string{s.Before, s.After} {
		if err := CheckHookName(name); name != "" && err != nil {
			return err
		}
	}
	return s.checkPower()
}

var hookName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z][a-z0-9-]{0,39}$`) })

// CheckHookName says what is wrong with the name of a hook.
func CheckHookName(name string) error {
	if !hookName().MatchString(name) {
		return fmt.Errorf("hook %.60q: a hook's name has small letters, digits and dashes, at most 40, and begins "+
			"with a letter", name)
	}
	return nil
}

func (s *Spec) checkPower() error {
	switch s.Power {
	case PowerNone:
		s.Power = ""
	case "", PowerOn, PowerCycle:
	default:
		return fmt.Errorf("power %.40q is none of on (machines that are off), cycle (also those that are on and not "+
			"in the agent: what they run ends), none", s.Power)
	}
	return nil
}

// Advice is what the operator should know of a spec that can be.
func (s *Spec) Advice() []string {
	var out []string
	for _, t := range s.Targets() {
		p := t.Path
		if p == "" {
			continue
		}
		out = append(out, fmt.Sprintf("%s is a name that the kernel gives anew at each start, to whichever disk "+
			"comes first. Each node's first plan decides which "+
			"disk it is, and the session keeps to that one. serial=, wwn= and by-path= name a disk for good; "+
			"`diskcast node show` prints them.", p))
	}
	return append(out, s.twice()...)
}

// Targets are the rules for disks, that of the first before the others.
func (s *Spec) Targets() []session.Target {
	out := []session.Target{s.Target}
	for i := range s.MoreDisks {
		out = append(out, s.MoreDisks[i].Target)
	}
	return out
}

// twice says what comes of one image on several disks of a machine.
func (s *Spec) twice() []string {
	seen := map[string]bool{s.Image: true}
	for i := range s.MoreDisks {
		name := s.MoreDisks[i].Image
		if seen[name] {
			return []string{fmt.Sprintf("Image %.300s goes to several disks of each machine: their file systems have "+
				"the same "+
				"UUIDs, and what a system mounts by UUID may be of any of them.", name)}
		}
		seen[name] = true
	}
	return nil
}

// checkDisks says what is wrong with the further disks.
func (s *Spec) checkDisks() error {
	if len(s.MoreDisks)+1 > session.MaxDisks {
		return fmt.Errorf("a session writes %d disks of a machine at most", session.MaxDisks)
	}
	rules := s.Targets()
	for i := range s.MoreDisks {
		d := &s.MoreDisks[i]
		if d.Image == "" || len(d.Image) > 300 {
			return fmt.Errorf("disk %d has no image: see `diskcast image list`", i+2)
		}
		if first := slices.Index(rules, d.Target); first <= i {
			return fmt.Errorf("disk %d and disk %d have the same rule, and one disk gets one image", first+1, i+2)
		}
	}
	return nil
}
