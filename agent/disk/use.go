package disk

import (
	"strings"

	"github.com/diskcast/diskcast/internal/inuse"
)

// InUse says what uses the disk at path (/dev/...) or one of its partitions. Empty when nothing does. root is "/" on a
// node; a path that is no block device is never in use.
func InUse(root, path string) (string, error) {
	users, err := inuse.Device(root, path)
	return strings.Join(users, "; "), err
}
