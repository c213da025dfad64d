package session

import (
	"errors"
	"fmt"
	"slices"
)

// Menu is what somebody at the node's console may choose from while nothing is asked of the node: Descriptor.Menu, of
// Idle. What is chosen is a MenuChoice.
type Menu struct {
	ID      string      `json:"id"` // another one when anything of it is another
	Title   string      `json:"title"`
	Entries []MenuEntry `json:"entries"`
	// Seconds is how long somebody is waited for; Default is the entry that is taken then.
	Seconds int    `json:"seconds"`
	Default string `json:"default"`
}

// MenuEntry is one line of a menu.
type MenuEntry struct {
	Entry string `json:"entry"`
	Words string `json:"words"`
	// Refused says why it cannot be chosen now; empty when it can.
	Refused string `json:"refused,omitempty"`
}

// MenuWait is the entry for which the server is not asked: the node stays as it is. MenuOwnDisk is the one that the
// node takes without the server's word where that is away: it restarts, and its firmware finds its own disk then.
const (
	MenuWait    = "wait"
	MenuOwnDisk = "own-disk"
)

// Bounds of a menu.
const (
	maxMenuID      = 64
	maxMenuEntries = 64
	maxMenuWords   = 1024 // bytes of a line
	maxMenuSeconds = 24 * 3600
)

// Entry is the line of the entry, nil when there is none.
func (m *Menu) Entry(entry string) *MenuEntry {
	i := slices.IndexFunc(m.Entries, func(e MenuEntry) bool { return e.Entry == entry })
	if i < 0 {
		return nil
	}
	return &m.Entries[i]
}

func (m *Menu) check() error {
	switch {
	case m.ID == "" || len(m.ID) > maxMenuID:
		return fmt.Errorf("menu: id %.80q", m.ID)
	case len(m.Entries) == 0 || len(m.Entries) > maxMenuEntries:
		return fmt.Errorf("menu: %d entries", len(m.Entries))
	case m.Seconds < 1 || m.Seconds > maxMenuSeconds:
		return fmt.Errorf("menu: a time-out of %d s", m.Seconds)
	case m.Entry(m.Default) == nil && m.Default != MenuWait:
		return fmt.Errorf("menu: its default %.80q is none of its entries", m.Default)
	case len(m.Title) > maxMenuWords:
		return errors.New("menu: its title is too long")
	}
	for _, e := range m.Entries {
		if e.Entry == "" || e.Words == "" || len(e.Entry)+len(e.Words)+len(e.Refused) > maxMenuWords {
			return fmt.Errorf("menu: the entry %.80q is empty or too long", e.Entry)
		}
	}
	return nil
}

// MenuChoice is what somebody chose: POST /v1/node/{node}/menu. Disk is, of what writes to a disk, the one that the
// answer to the same choice without it named, and that whoever sits there agreed to lose.
type MenuChoice struct {
	V     int     `json:"v"`
	Menu  string  `json:"menu"` // Menu.ID
	Entry string  `json:"entry"`
	Disk  *DiskID `json:"disk,omitempty"`
}

func (c *MenuChoice) version() int { return c.V }

func (c *MenuChoice) check() error {
	switch {
	case c.Menu == "" || len(c.Menu) > maxMenuID || c.Entry == "" || len(c.Entry) > maxMenuWords:
		return errors.New("choice: menu or entry is missing, or too long")
	case c.Disk != nil && c.Disk.Size <= 0:
		return errors.New("choice: a disk without a size")
	}
	return nil
}

// MenuReply is what becomes of a choice: one of Ask, Session and Restart.
type MenuReply struct {
	V int `json:"v"`
	// Ask has the disk agreed to first.
	Ask *MenuAsk `json:"ask,omitempty"`
	// Session is the one that has a part for the node now.
	Session string `json:"session,omitempty"`
	// Restart says that the machine gets what was chosen when it starts again.
	Restart bool `json:"restart,omitempty"`
}

// MenuAsk is what somebody has to agree to.
type MenuAsk struct {
	Disk  DiskID   `json:"disk"`
	Words string   `json:"words"`           // what would be done to it
	Notes []string `json:"notes,omitempty"` // what is on it, and what else is to be known
}

func (r *MenuReply) version() int { return r.V }

func (r *MenuReply) check() error {
	n := 0
	for _, b := range []bool{r.Ask != nil, r.Session != "", r.Restart} {
		if b {
			n++
		}
	}
	switch {
	case n != 1:
		return fmt.Errorf("menu: an answer that says %d things, and not one", n)
	case r.Ask != nil && (r.Ask.Disk.Size <= 0 || r.Ask.Words == ""):
		return errors.New("menu: a question about no disk")
	}
	return nil
}
