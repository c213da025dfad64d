package disk

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/diskcast/diskcast/agent/inventory"
	"github.com/diskcast/diskcast/internal/image/restore"
	"github.com/diskcast/diskcast/internal/session"
)

// Hardware is the disks of a real node.
type Hardware struct {
	Inventory *inventory.Reader
	// Only limits the disks to these paths, which may be regular files: for trying the agent out without a
	// machine to spare. Empty means every disk.
	Only []string
}

// List returns the disks that a rule chooses from.
func (h *Hardware) List() []session.Disk {
	if len(h.Only) == 0 {
		return h.Inventory.Disks()
	}
	var disks []session.Disk
	for _, path := range h.Only {
		fi, err := os.Stat(path)
		switch {
		case err != nil:
		case fi.Mode().IsRegular():
			disks = append(disks, session.Disk{Path: path, Size: fi.Size(), SectorSize: 512, Model: "file"})
		default:
			d := h.Inventory.Disk(filepath.Base(path))
			d.Path = path
			disks = append(disks, d)
		}
	}
	return disks
}

// InUse says what uses a disk.
func (h *Hardware) InUse(path string) (string, error) { return InUse(h.Inventory.Root, path) }

// Open opens a disk for a restore.
func (h *Hardware) Open(d session.Disk) (restore.Target, error) {
	return restore.OpenTarget(d.Path, restore.TargetOptions{SectorSize: d.SectorSize})
}

// Grow makes a file system fill the partition that has grown around it.
func (h *Hardware) Grow(ctx context.Context, d session.Disk, g restore.Growth) error {
	return g.FileSystem(ctx, d.Path, d.SectorSize)
}

// nodesWithin bounds the wait for the partitions' device nodes. The kernel makes them while it reads the table.
const nodesWithin = 15 * time.Second

// Reread has the kernel take over a new partition table.
func (h *Hardware) Reread(ctx context.Context, path string, partitions []int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, nodesWithin, fmt.Errorf("waited for %v", nodesWithin))
	defer cancel()
	return Reread(ctx, path, partitions)
}
