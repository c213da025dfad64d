package inuse

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mounted looks for the devices in the mounts of this process and, when it sees none, in those of the other mount
// namespaces.
func mounted(root string, nodes []node) ([]string, error) {
	own, err := os.ReadFile(filepath.Join(root, "proc/self/mountinfo"))
	if err != nil {
		return nil, fmt.Errorf("cannot tell what is mounted: %w", err)
	}
	if users := mountsOf(string(own), nodes, ""); len(users) > 0 {
		return users, nil
	}
	mine, _ := os.Readlink(filepath.Join(root, "proc/self/ns/mnt"))
	seen := []string{mine}
	processes, _ := filepath.Glob(filepath.Join(root, "proc/[0-9]*/ns/mnt")) // the pattern is sound
	for _, p := range processes {
		ns, err := os.Readlink(p)
		if err != nil || slices.Contains(seen, ns) {
			continue // it has ended, or belongs to somebody else
		}
		seen = append(seen, ns)
		dir := filepath.Dir(filepath.Dir(p))
		b, err := os.ReadFile(filepath.Join(dir, "mountinfo"))
		if err != nil {
			continue
		}
		if users := mountsOf(string(b), nodes, ", in the mount namespace of "+process(dir)); len(users) > 0 {
			return users, nil
		}
	}
	return nil, nil
}

// mountsOf reads mountinfo: "ID parent MAJOR:MINOR root MOUNTPOINT options ... - type SOURCE options".
// A btrfs shows a device number of its own there, so the source's name counts too.
func mountsOf(info string, nodes []node, where string) (users []string) {
	for line := range strings.Lines(info) {
		w := strings.Fields(line)
		i := slices.Index(w, "-")
		if i < 6 || i+2 >= len(w) {
			continue
		}
		for _, n := range nodes {
			if w[2] == n.number || w[i+2] == n.path() {
				users = append(users, fmt.Sprintf("%s is mounted at %s%s", n.name, w[4], where))
			}
		}
	}
	return users
}

// process names the process of a directory below /proc.
func process(dir string) string {
	b, err := os.ReadFile(filepath.Join(dir, "comm"))
	if err != nil {
		return "process " + filepath.Base(dir)
	}
	return fmt.Sprintf("process %s (%s)", filepath.Base(dir), strings.TrimSpace(string(b)))
}
