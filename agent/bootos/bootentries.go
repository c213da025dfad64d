package bootos

import (
	"path"

	"github.com/diskcast/diskcast/agent/efivars"
)

// BootEntry is one of the boot entries that the firmware tries, as far as it starts a file of a partition.
type BootEntry struct {
	Name      string // Boot0001
	Title     string
	Partition string // as Device has it in PartUUID; empty when it starts no partition
	File      string // with slashes; empty: the partition's own fallback loader
	Options   []byte // what the program is given
}

// bootEntries reads the firmware's boot entries, in its order; without variables there are none.
func bootEntries(vars efivars.Source) []BootEntry {
	entries, err := efivars.Tried(vars)
	if err != nil {
		return nil
	}
	var out []BootEntry
	for _, e := range entries {
		b := BootEntry{Name: efivars.Name(e.Number), Title: e.Description, Options: e.Optional}
		if p, file, ok := e.Starts(); ok {
			b.Partition = p.PartUUID()
			if file != "" {
				b.File = path.Join("/", file)
			}
		}
		out = append(out, b)
	}
	return out
}
