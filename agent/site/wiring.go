package site

import (
	"fmt"
	"strings"

	"github.com/diskcast/diskcast/internal/wiring"
)

// wire reads how the node is wired: the file's settings, then those of the kernel's command line in its own and
// dracut's words, then ours. What of the first two is not understood is left out and said: they may be meant for
// somebody else. What of ours is wrong is an error.
func (s *Settings) wire(cmdline string) error {
	words := Words(cmdline)
	if err := wiring.CheckVLAN(s.VLAN); err != nil {
		return err
	}
	s.Wiring.VLAN = s.VLAN
	for _, set := range []struct{ word, value string }{{"bond", s.Bond}, {"ip", s.IP}} {
		if set.value == "" {
			continue
		}
		if err := s.set(set.word, set.value); err != nil {
			return err
		}
	}
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		if err := s.foreign(key, value); err != nil {
			s.Warnings = append(s.Warnings, fmt.Sprintf("%s= on the kernel's command line is left out: %v", key, err))
		}
	}
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		if word, ours := strings.CutPrefix(key, "diskcast."); ours {
			if err := s.set(word, value); err != nil {
				return fmt.Errorf("%s= on the kernel's command line: %w", key, err)
			}
		}
	}
	return nil
}

// set takes one of our words; "none", and for a VLAN 0, takes away what was said before.
func (s *Settings) set(word, value string) error {
	switch word {
	case "vlan":
		if value == "" || value == "0" || value == "none" {
			s.Wiring.VLAN = 0
			return nil
		}
		id, err := wiring.ParseVLAN(value)
		if err != nil {
			return err
		}
		s.Wiring.VLAN = id
	case "bond":
		if value == "" || value == "none" {
			s.Wiring.Bond = nil
			return nil
		}
		b, err := wiring.ParseBond(value)
		if err != nil {
			return err
		}
		s.Wiring.Bond = b
	case "ip":
		st, nic, err := wiring.ParseIP(value)
		if err != nil {
			return err
		}
		s.Wiring.Static, s.Wiring.NIC = st, nic
	}
	return nil
}

// foreign takes ip= as the kernel, and vlan= and bond= as dracut(8) has them.
func (s *Settings) foreign(key, value string) error {
	switch key {
	case "ip":
		if strings.Count(value, ":") == 3 {
			return fmt.Errorf("%s is what a PXE loader writes of its own lease (IPAPPEND); the node asks for one "+
				"itself", value)
		}
		return s.set("ip", value)
	case "vlan":
		name, _, _ := strings.Cut(value, ":")
		number := strings.TrimLeft(name[strings.LastIndexFunc(name, notDigit)+1:], "0") // vlan0005, eth0.5, 5
		if number == "" {
			number = "0"
		}
		id, err := wiring.ParseVLAN(number)
		if err != nil {
			return err
		}
		s.Wiring.VLAN = id
	case "bond":
		f := strings.SplitN(value, ":", 4)
		if len(f) < 3 {
			return fmt.Errorf("%q is not of the form NAME:NIC,NIC:mode=MODE", value)
		}
		for option := range strings.SplitSeq(f[2], ",") {
			if mode, ok := strings.CutPrefix(option, "mode="); ok {
				return s.set("bond", mode+":"+f[1])
			}
		}
		return fmt.Errorf("%q has no mode=", value)
	}
	return nil
}

func notDigit(r rune) bool { return r < '0' || r > '9' }
