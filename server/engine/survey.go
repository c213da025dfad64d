package engine

import (
	"encoding/json"
	"time"

	"github.com/diskcast/diskcast/internal/session"
)

// within reports whether an inventory is small enough. What it needs drivers for, and then what is on the disks, is
// left away before a machine is refused for it.
func within(inv *session.Inventory, limit int) bool {
	fits := func() bool {
		b, err := json.Marshal(inv)
		return err == nil && len(b) <= limit
	}
	if fits() {
		return true
	}
	inv.Hardware = nil
	if fits() {
		return true
	}
	inv.Survey = nil
	return fits()
}

// survey keeps what the node told of its disks before, where its new inventory, of this moment, says nothing of that:
// it says hello first and looks then, and does not look while it works.
func (n *node) survey(inv *session.Inventory, now time.Time) {
	if s := inv.Survey; s != nil {
		n.Surveyed = now.Add(-time.Duration(s.Age * float64(time.Second)))
		return
	}
	if s := n.Inventory.Survey; s != nil {
		with := *s
		inv.Survey = &with
		inv.BoundSurvey()
	}
}
