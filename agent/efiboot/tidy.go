package efiboot

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/agent/efivars"
	"github.com/diskcast/diskcast/internal/session"
)

// partitions lists the EFI system partitions of the machine's other disks, and tells each of them to see. all is false
// where one may be missing from the list.
func (m *Machine) partitions(d session.Disk, see func(session.Disk, *efivars.Partition)) (known []efivars.Partition,
	all bool) {
	if m.Disks == nil {
		return nil, false
	}
	all = true
	for _, other := range m.Disks() {
		if other.Path == d.Path {
			continue
		}
		c, done, err := open(other)
		if err != nil {
			all = false
			continue
		}
		done() // what it has is known; no file of it is looked at
		for _, s := range c.Systems {
			see(other, &s.Partition)
			known = append(known, s.Partition)
		}
		all = all && len(c.Problems) == 0
	}
	return known, all
}

func hasPartition(known []efivars.Partition, p *efivars.Partition) bool {
	return slices.ContainsFunc(known, func(k efivars.Partition) bool { return k.Same(p) })
}

// tidy removes entries of ours that start nothing any more, but for the one that was just made, and says which.
func (e *entry) tidy(stale func(*efivars.Partition) bool) (words string) {
	var removed, failed []string
	for _, n := range slices.Sorted(maps.Keys(e.options)) {
		o := e.options[n]
		if e.made && n == e.number || !ours(o) {
			continue
		}
		if p, _, ok := o.Starts(); !ok || !stale(&p) {
			continue
		}
		if err := e.remove(n); err != nil {
			failed = append(failed, fmt.Sprintf("%s (%v)", efivars.Name(n), err))
			continue
		}
		removed = append(removed, efivars.Name(n))
	}
	if len(removed) > 0 {
		words = "; removed " + strings.Join(removed, ", ") + " of earlier sessions"
	}
	if len(failed) > 0 {
		words += "; could not remove " + strings.Join(failed, ", ") + " of earlier sessions"
	}
	return words
}

// tidyWithout is tidy for a disk that gets no entry: what earlier sessions made for it, and for partitions that are
// gone, starts nothing any more. An EFI system partition of the disk that cannot be read may be what an entry names,
// and then nothing is removed.
func (m *Machine) tidyWithout(d session.Disk, c *Contents) string {
	known, all := m.partitions(d, func(session.Disk, *efivars.Partition) {})
	if !all || len(c.Problems) > 0 {
		return ""
	}
	vars, err := m.Vars, error(nil)
	if vars == nil {
		vars, err = efivars.Mount(filepath.Join(m.Root, "sys/firmware/efi/efivars"))
	}
	e := &entry{vars: vars, disk: d.Path}
	if err == nil {
		err = e.read()
	}
	if err != nil {
		return fmt.Sprintf("; boot entries of earlier sessions were not looked for: %v", err)
	}
	return e.tidy(func(p *efivars.Partition) bool { return !hasPartition(known, p) })
}

// remove takes an entry out of the order first: a number there that has no entry does no harm, and the other way round
// it would be lost.
func (e *entry) remove(n uint16) error {
	order := slices.DeleteFunc(slices.Clone(e.order), func(x uint16) bool { return x == n })
	if len(order) != len(e.order) {
		if err := e.set("BootOrder", efivars.OrderBytes(order)); err != nil {
			return err
		}
		e.order = order
	}
	return e.vars.Remove(efivars.Name(n))
}
