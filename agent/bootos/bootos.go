// Package bootos starts the system that was written to a disk: it mounts the partitions read-only, finds out which
// kernel, initrds and command line the machine's own boot loader would use, and loads them with kexec.
//
// The rule: it starts what the machine's own loader would have started, or the machine restarts through its firmware.
// It goes the firmware's way: to the program that firmware would start, from there to the loader's configuration, and
// through that to its end. Where several loaders may be meant, they must agree. A kernel is guessed only on a disk with
// no loader at all.
package bootos

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/agent/bootos/efi"
	"github.com/diskcast/diskcast/agent/bootos/grub"
	"github.com/diskcast/diskcast/agent/bootos/sdboot"
)

// System is what a disk boots.
type System struct {
	Title   string // of the menu entry, or of the system
	Source  string // where it was found, in words
	Kernel  grub.File
	Initrds []grub.File
	Args    string // kernel command line
	Unified bool   // Kernel is a unified kernel image, with kernel and initrd in it
	Note    string // what the operator has to know about it; mostly empty
	Opened  string // what the site's passphrase stood for on the way, in words; empty for nothing
}

// Restart is the error of a choice that is known, and that only the machine's firmware and loader can carry out.
type Restart = grub.Restart

// ErrNoSystem is wrapped by the error of a disk from which nothing can be started, by its own loader neither.
var ErrNoSystem = errors.New("nothing on the disk can be started")

// Firmware is what the machine's firmware knows of the disk, beside its files.
type Firmware struct {
	UEFI  bool
	Table string // kind of the disk's partition table as GRUB calls it, "gpt" or "msdos"; empty: not known
	// BootEntries are UEFI's, in the order in which they are tried.
	BootEntries []BootEntry
	Variables   sdboot.Variables // nil: they cannot be read
	// MBR is the disk's first sector and PBR that of its active partition, which is Active; nil: not known.
	MBR, PBR []byte
	Active   int
	GRUB     *efi.GRUBImage // what the GRUB behind the first sector carries; nil: not known
}

// Find returns the system that the machine would start from the disk. A *Restart says that the loader itself must do
// it; an error that wraps ErrNoSystem, that nothing will; any other, that a configuration was not understood.
func Find(v *Volumes, fw Firmware) (*System, error) {
	v.budget.begin()
	defer v.budget.end()
	s, err := find(v, fw)
	if over := v.budget.err(); over != nil {
		return nil, &Restart{Why: fmt.Sprintf("the search for the system was given up: %v", over)}
	}
	return s, err
}

func find(v *Volumes, fw Firmware) (*System, error) {
	f := &finder{v: v, fw: fw}
	found := f.loaders()
	if v.unread && (f.bare || len(found) == 0) {
		return nil, &Restart{Why: fmt.Sprintf("the boot loader that the firmware starts was not found, and may be "+
			"on %s", v.notRead())}
	}
	if len(found) == 0 {
		s, err := guessed(v)
		if err != nil {
			return nil, fmt.Errorf("%w: there is no boot loader on it, and %w", ErrNoSystem, err)
		}
		if v.held() {
			return nil, &Restart{Entry: s.Title, Why: fmt.Sprintf("there is no boot loader on it that is known, and "+
				"one's configuration may be on %s", v.notRead())}
		}
		s.Note = noLoader
		return s, nil
	}
	s, err := agree(found)
	if err == nil {
		err = v.check(s)
	}
	if err != nil {
		return nil, err
	}
	if f.bare {
		s.Note = strings.TrimSpace(s.Note + " " + noLoader)
	}
	return s, nil
}

// noLoader is the note on a system that only we can start.
const noLoader = "no boot loader that this machine's firmware starts is on the disk: the machine will not start from " +
	"it by itself."

// candidate is a place where a boot configuration is.
type candidate struct {
	what string
	load func() (*System, error)
}

func (c candidate) run() (*System, error) {
	s, err := c.load()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.what, err)
	}
	s.Source = c.what
	return s, nil
}

// agree returns what all candidates start. Where they differ it cannot be known which of them the machine would use.
func agree(found []candidate) (*System, error) {
	s, err := found[0].run()
	if len(found) == 1 {
		return s, err
	}
	say := func(c candidate, s *System, err error) string {
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("%s: %s with %q", c.what, s.Kernel.Path, s.Args)
	}
	words, same := []string{say(found[0], s, err)}, err == nil
	for _, c := range found[1:] {
		other, err := c.run()
		words = append(words, say(c, other, err))
		same = same && err == nil && s.Kernel == other.Kernel && slices.Equal(s.Initrds, other.Initrds) &&
			s.Args == other.Args
	}
	if !same {
		return nil, &Restart{Why: "several boot loaders are on the disk and which one the firmware starts is not " +
			"known: " + strings.Join(words, "; ")}
	}
	return s, nil
}

// check makes sure that the files are there.
func (v *Volumes) check(s *System) error {
	for _, f := range append([]grub.File{s.Kernel}, s.Initrds...) {
		if v.Exists(f.Device, f.Path, false) {
			continue
		}
		why := fmt.Sprintf("%v is not there", f)
		if v.TooLinked(f.Device, f.Path) {
			why = fmt.Sprintf("%v leads through more symbolic links than are followed", f)
		}
		return fmt.Errorf("%s: %w", s.Source, &Restart{Entry: s.Title, Why: why})
	}
	return nil
}

// Words says in one line what would be started.
func (s *System) Words() string {
	var initrds []string
	for _, i := range s.Initrds {
		initrds = append(initrds, i.Path)
	}
	with := "without initrd"
	switch {
	case len(initrds) > 0:
		with = "with " + strings.Join(initrds, ", ")
	case s.Unified:
		with = "as it is put together"
	}
	words := fmt.Sprintf("%s: %s %s, command line %q (%s)", s.Title, s.Kernel.Path, with, s.Args, s.Source)
	if s.Opened != "" {
		words += "; " + s.Opened
	}
	if s.Note != "" {
		words += "; " + s.Note
	}
	return words
}
