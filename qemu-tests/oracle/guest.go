package oracle

import (
	"context"
	"encoding/json"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/testenv/uml"
)

// No program but a kernel reads every file of an XFS. The machine's own may lack XFS, btrfs or loop devices (a
// container on CI), so user-mode Linux does.

const readTree = "read-tree"

func init() {
	uml.Handle(readTree, func(t uml.Task) (string, error) {
		if err := unix.Mount(uml.Disk, uml.Mounts, t.FS, unix.MS_RDONLY, ""); err != nil {
			return "", fmt.Errorf("mounting the %s: %w", t.FS, err)
		}
		tree, err := ReadTree(uml.Mounts)
		if err != nil {
			return "", err
		}
		b, err := json.Marshal(tree)
		return string(b), err
	})
}

// GuestTree reads the tree of a file system in a file, which it mounts read-only in a user-mode Linux. dir is for what
// that needs.
func GuestTree(ctx context.Context, part, kind, dir string) (Tree, error) {
	out, err := uml.Run(ctx, dir, uml.Task{Name: readTree, Disk: part, FS: kind})
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", part, err)
	}
	var t Tree
	if err := json.Unmarshal([]byte(out), &t); err != nil {
		return nil, fmt.Errorf("reading %s: %w", part, err)
	}
	return t, nil
}
