package imaging

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/session"
)

// The session's disk is the one that its first plan on this node chose; whatever else the rule means now, nothing is
// written to it.
func TestOnlyTheSessionsDisk(t *testing.T) {
	one := session.Disk{Path: "/dev/sda", Size: diskSize, SectorSize: sector, Serial: "one",
		BusPath: "pci-0000:00:04.0-scsi-0:0:0:0"}
	two := one
	two.Serial, two.BusPath = "two", "pci-0000:00:05.0-scsi-0:0:0:0"
	for name, c := range map[string]struct {
		disks  []session.Disk
		pinned *session.Disk // in the descriptor
		chosen *session.Disk // on the server, which the descriptor does not know yet
		rule   session.Target
		err    string // empty: the disk is written
	}{
		"first plan":     {disks: []session.Disk{one}},
		"the disk again": {disks: []session.Disk{one}, pinned: &one},
		"the rule means another one now": {disks: []session.Disk{two}, pinned: &one,
			rule: session.Target{Path: "/dev/sda"}, err: "which this session chose at first, is not there"},
		"the server knows of an earlier plan": {disks: []session.Disk{two}, chosen: &one,
			rule: session.Target{Path: "/dev/sda"}, err: "serial one"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.disks = c.disks
			before := slices.Clone(w.target.Bytes())
			d := w.descriptor()
			*d.Target = c.rule
			d.Cast = nil
			if c.pinned != nil {
				id := c.pinned.ID()
				d.Disk = &id
			}
			if c.chosen != nil {
				id := c.chosen.ID()
				w.chosen = &id
			}
			_, err := Restore(t.Context(), d, nil, w.options(nil))
			if c.err == "" {
				if err != nil {
					t.Fatal(err)
				}
				if w.chosen == nil || w.chosen.Serial != "one" {
					t.Errorf("the server was told of %+v", w.chosen)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.err) ||
				!strings.Contains(err.Error(), "nothing was written") {
				t.Errorf("got %v", err)
			}
			if !bytes.Equal(before, w.target.Bytes()) {
				t.Error("the other disk was written to")
			}
		})
	}
}
