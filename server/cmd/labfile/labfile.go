// Package labfile reads and writes what an operator keeps of a lab in files: YAML with machines, groups, profiles,
// rules and menus, and CSV with machines as spreadsheets write it. Both become one doc.LabChange, whose entries it can
// find again in the files: every error, the server's too, names file and line.
package labfile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/server/doc"
)

// Bounds of what is read.
const (
	MaxFile  = 16 << 20 // bytes of a file
	maxCells = 1 << 20  // of a CSV file
	maxDepth = 32       // of YAML
)

// Reader gathers files into one change.
type Reader struct {
	// Disk reads a rule for a disk as commands do; the key disk of a profile is one.
	Disk   func(string) (any, error)
	Change doc.LabChange

	where map[string]string // file:line by entry
	names map[string]string // file:line by kind/name
	kinds map[string]bool   // sections that the files have
}

// New returns a Reader that has read nothing.
func New(disk func(string) (any, error)) *Reader {
	return &Reader{Disk: disk, where: map[string]string{}, names: map[string]string{}, kinds: map[string]bool{}}
}

// Where is file:line of an entry such as machines[3]; empty when it is of no file.
func (r *Reader) Where(entry string) string { return r.where[entry] }

// Kinds are the kinds of which the files have a section.
func (r *Reader) Kinds() []string {
	var out []string
	for _, k := range []string{doc.KindMachine, doc.KindGroup, doc.KindProfile, doc.KindRule, doc.KindMenu} {
		if r.kinds[k] {
			out = append(out, k)
		}
	}
	return out
}

// once notes where something that can be there once is, and refuses a second one.
func (r *Reader) once(what, at string) error {
	if before, ok := r.names[what]; ok {
		return fmt.Errorf("%s: %s is there already, at %s", at, what, before)
	}
	r.names[what] = at
	return nil
}

// machine adds a machine that is at the place.
func (r *Reader) machine(m doc.MachineEntry, at string) error {
	if m.ID == "" && m.Name == "" && len(m.MACs) == 0 && m.UUID == "" && m.Serial == "" {
		return fmt.Errorf("%s: nothing says which machine it is: it has neither id, name, MAC address, UUID nor serial",
			at)
	}
	if m.ID != "" {
		if err := r.once("machine "+m.ID, at); err != nil {
			return err
		}
	}
	if m.Name != "" {
		if err := r.once("the name "+strings.ToLower(m.Name), at); err != nil {
			return err
		}
	}
	for i, mac := range m.MACs {
		id, err := doc.NodeID(mac)
		if err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
		m.MACs[i] = strings.ReplaceAll(id, "-", ":")
		if err := r.once("the MAC address "+m.MACs[i], at); err != nil {
			return err
		}
	}
	r.where[fmt.Sprintf("machines[%d]", len(r.Change.Machines))] = at
	r.kinds[doc.KindMachine] = true
	r.Change.Machines = append(r.Change.Machines, m)
	return nil
}

// yes reads a word for yes or no.
func yes(s string) (bool, error) {
	switch s = strings.ToLower(s); {
	case slices.Contains([]string{"yes", "true", "1", "y"}, s):
		return true, nil
	case slices.Contains([]string{"no", "false", "0", "n"}, s):
		return false, nil
	}
	return false, fmt.Errorf("%.40q is neither yes nor no", s)
}
