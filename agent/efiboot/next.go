package efiboot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/agent/efivars"
	"github.com/diskcast/diskcast/internal/session"
)

// Next says what the firmware starts when nothing of the network does: the server has it started without the network's
// other protocols being tried first. What cannot be told surely is left to the firmware, with the reason. nil on a
// machine that was started by BIOS.
func (m *Machine) Next() *session.Starts {
	if _, err := os.Stat(filepath.Join(m.Root, "sys/firmware/efi")); err != nil {
		return nil
	}
	vars, err := m.Vars, error(nil)
	if vars == nil {
		if vars, err = efivars.Mount(filepath.Join(m.Root, "sys/firmware/efi/efivars")); err != nil {
			return &session.Starts{Firmware: "its boot entries cannot be read: " + err.Error()}
		}
	}
	tried, err := efivars.Tried(vars)
	if err != nil {
		return &session.Starts{Firmware: "its boot entries cannot be read: " + err.Error()}
	}
	found, done, err := m.systems()
	defer done()
	if err != nil {
		return &session.Starts{Firmware: err.Error()}
	}
	arch := m.arch()
	came, known := efivars.Current(vars)
	after := ""
	for _, e := range tried {
		net := classOf(&e.Option) == network
		switch {
		case known && e.Number == came:
			after = protocol(&e.Option)
		case net:
			after = ""
		}
		if net {
			continue
		}
		s, passed, err := found.start(&e.Option, arch)
		switch {
		case err != nil:
			return &session.Starts{Firmware: fmt.Sprintf("its boot entry %s (%q) %v", efivars.Name(e.Number),
				e.Description, err)}
		case !passed:
			s.After = after
			return s
		}
	}
	switch s, passed, err := found.fallback(arch); {
	case err != nil:
		return &session.Starts{Firmware: "no boot entry names a disk, and it " + err.Error()}
	case passed:
		return &session.Starts{Firmware: "no boot entry names a boot loader that is there, and no disk has a fallback"}
	default:
		return s
	}
}

// protocol is the way into the network that an entry names, by IPv4 and one card; empty for any other. An entry that a
// vendor made for all ways at once names no card.
func protocol(o *efivars.Option) string {
	card, v4, way := false, false, session.StartsAfterPXE
	for _, n := range o.Nodes() {
		switch n.Kind {
		case efivars.NodeMAC:
			card = true
		case efivars.NodeIPv4:
			v4 = true
		case efivars.NodeURI:
			way = session.StartsAfterHTTP
		}
	}
	if !card || !v4 {
		return ""
	}
	return way
}

// systems are the EFI system partitions of all disks of the machine.
type systems []System

func (m *Machine) systems() (found systems, done func(), err error) {
	var all []func()
	done = func() {
		for _, f := range all {
			f()
		}
	}
	for _, d := range m.Disks() {
		c, closed, err := open(d)
		if err != nil {
			return nil, done, fmt.Errorf("%s cannot be read: %w", d.Path, err)
		}
		all = append(all, closed)
		if len(c.Problems) > 0 {
			return nil, done, errors.New(d.Path + ": " + strings.Join(c.Problems, ", "))
		}
		found = append(found, c.Systems...)
	}
	return found, done, nil
}

// start is what an entry of the boot order starts; passed tells that firmware goes on to the next, and an error that it
// cannot be told.
func (found systems) start(o *efivars.Option, arch string) (s *session.Starts, passed bool, err error) {
	p, file, ok := o.Starts()
	switch {
	case !ok && classOf(o) == disk: // a drive: firmware looks for a fallback there
		return found.fallback(arch)
	case !ok:
		return nil, false, errors.New("may be tried before its disk")
	}
	at := slices.DeleteFunc(slices.Clone(found), func(s System) bool { return s.Index == 0 || !s.Same(&p) })
	switch {
	case len(at) == 0:
		return nil, true, nil
	case len(at) > 1:
		return nil, false, errors.New("names a partition that two disks have")
	case file == "":
		return at.fallback(arch)
	}
	windows := strings.EqualFold(file, "EFI/Microsoft/Boot/bootmgfw.efi")
	switch there, err := at[0].Contents.Has(file); {
	case err != nil:
		return nil, false, fmt.Errorf("names a file that cannot be read: %w", err)
	case !there:
		return nil, true, nil
	case len(o.Optional) > 0 && !windows: // whose data is a default of its own
		return nil, false, errors.New("has data for its program, which only firmware hands over")
	}
	return &session.Starts{Partition: at[0].PartUUID(), File: file}, false, nil
}

// fallback is the one fallback loader of the partitions.
func (found systems) fallback(arch string) (s *session.Starts, passed bool, err error) {
	var back []session.Starts
	for _, at := range found {
		l, ok := at.Contents.Fallback(arch)
		switch {
		case ok && at.Index == 0:
			return nil, false, errors.New("may start a disk without a partition table")
		case ok:
			back = append(back, session.Starts{Partition: at.PartUUID(), File: l.Path})
		}
	}
	switch {
	case len(back) == 0:
		return nil, true, nil
	case len(back) > 1:
		return nil, false, fmt.Errorf("may start any of %d partitions with a fallback loader", len(back))
	}
	return &back[0], false, nil
}
