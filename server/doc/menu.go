package doc

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Menu is what somebody at a machine's console may choose from when nothing is asked of the machine: the when_idle
// menu:NAME. Revision, Owner and Changed are as those of a Group.
type Menu struct {
	Name string `json:"name"`
	// Entries are in the order in which they are shown: EntryOwnDisk, EntryWait, EntryRescue, EntryMemtest, EntryImage
	// with the name of an image, EntryProfile with that of a profile.
	Entries []string `json:"entries"`
	// Timeout, in seconds, is how long somebody is waited for; 0: DefaultMenuTimeout.
	Timeout int `json:"timeout,omitempty"`
	// Default is the entry that is taken when nobody chooses: EntryOwnDisk or EntryWait. Empty: the first of them.
	Default  string    `json:"default,omitempty"`
	Revision uint64    `json:"revision,omitempty"`
	Owner    string    `json:"owner,omitempty"`
	Changed  time.Time `json:"changed,omitzero"`
}

// Entries of a menu.
const (
	EntryOwnDisk = "own-disk" // its own disk
	EntryWait    = "wait"     // wait in the agent
	EntryRescue  = "rescue"   // a shell on the console
	EntryMemtest = "memtest"  // Memtest86+
	EntryImage   = "image="   // + name: put that on its disk, with the machine's own profile
	EntryProfile = "profile=" // + name: what that profile makes of a machine
)

// Bounds of a menu.
const (
	DefaultMenuTimeout = 30 // seconds
	minMenuTimeout     = 5
	maxMenuTimeout     = 3600
	maxMenuEntries     = 32
	maxEntry           = 160 // bytes
)

// EntryName is what an entry names: of EntryImage an image, of EntryProfile a profile.
func EntryName(entry, of string) string {
	name, ok := strings.CutPrefix(entry, of)
	if !ok {
		return ""
	}
	return name
}

// Check says what is wrong with the menu, and fills in what was left out.
func (m *Menu) Check() error {
	if len(m.Entries) == 0 || len(m.Entries) > maxMenuEntries {
		return fmt.Errorf("a menu has 1 to %d entries, and this one has %d", maxMenuEntries, len(m.Entries))
	}
	for i, e := range m.Entries {
		if err := checkEntry(e); err != nil {
			return err
		}
		if slices.Contains(m.Entries[:i], e) {
			return fmt.Errorf("the entry %s is there twice", e)
		}
	}
	if m.Timeout == 0 {
		m.Timeout = DefaultMenuTimeout
	}
	if m.Timeout < minMenuTimeout || m.Timeout > maxMenuTimeout {
		return fmt.Errorf("the time-out of %d seconds is not in %d..%d", m.Timeout, minMenuTimeout, maxMenuTimeout)
	}
	harmless := func(e string) bool { return e == EntryOwnDisk || e == EntryWait }
	if i := slices.IndexFunc(m.Entries, harmless); i >= 0 && m.Default == "" {
		m.Default = m.Entries[i]
	}
	switch {
	case m.Default == "":
		return fmt.Errorf("nothing of it could be taken when nobody chooses: add %s or %s", EntryOwnDisk, EntryWait)
	case !harmless(m.Default):
		return fmt.Errorf("the default is %s or %s, which nobody needs to agree to: %.80q is neither", EntryOwnDisk,
			EntryWait, m.Default)
	case !slices.Contains(m.Entries, m.Default):
		return fmt.Errorf("the default %s is none of its entries", m.Default)
	}
	return nil
}

func checkEntry(e string) error {
	if len(e) > maxEntry {
		return fmt.Errorf("the entry %.40q... is longer than %d bytes", e, maxEntry)
	}
	if slices.Contains([]string{EntryOwnDisk, EntryWait, EntryRescue, EntryMemtest}, e) {
		return nil
	}
	for _, of := range []string{EntryImage, EntryProfile} {
		name, ok := strings.CutPrefix(e, of)
		switch {
		case !ok:
		case name == "":
			return errors.New("the entry " + of + " names nothing")
		case strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }):
			return fmt.Errorf("the entry %q has characters that not every console shows", e)
		default:
			return nil
		}
	}
	return fmt.Errorf("%q is no entry of a menu: %s, %s, %s, %s, %sNAME or %sNAME", e, EntryOwnDisk, EntryWait,
		EntryRescue, EntryMemtest, EntryImage, EntryProfile)
}
