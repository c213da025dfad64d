package disk

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// InUse says what uses the disk at path (/dev/...) or one of its partitions: a mount, swap, or a device that is built on it
// (LVM, RAID, dm-crypt). Empty when nothing does. root is "/" on a node; a path that is no block device is never in use.
func InUse(root, path string) (string, error) {
	name := strings.ReplaceAll(strings.TrimPrefix(path, "/dev/"), "/", "!")
	sys := filepath.Join(root, "sys/block", name)
	if _, err := os.Stat(sys); err != nil {
		return "", nil
	}
	parts, err := filepath.Glob(filepath.Join(sys, name+"*", "dev"))
	if err != nil {
		return "", err
	}
	devs := map[string]string{} // major:minor -> name
	for _, dev := range append(parts, filepath.Join(sys, "dev")) {
		dir := filepath.Dir(dev)
		if b, err := os.ReadFile(dev); err == nil {
			devs[strings.TrimSpace(string(b))] = filepath.Base(dir)
		}
		if holders, err := os.ReadDir(filepath.Join(dir, "holders")); err == nil && len(holders) > 0 {
			return fmt.Sprintf("%s is part of %s", filepath.Base(dir), holders[0].Name()), nil
		}
	}
	if what, err := mounted(root, devs); what != "" || err != nil {
		return what, err
	}
	return swapped(root, devs)
}

// mounted looks for the devices in /proc/self/mountinfo: "ID parent MAJOR:MINOR root MOUNTPOINT options ... - type SOURCE options".
// A btrfs shows a device number of its own there, so the source's name counts too.
func mounted(root string, devs map[string]string) (string, error) {
	f, err := os.Open(filepath.Join(root, "proc/self/mountinfo"))
	if err != nil {
		return "", fmt.Errorf("cannot tell what is mounted: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		w := strings.Fields(lines.Text())
		if len(w) < 7 {
			continue
		}
		name, ok := devs[w[2]]
		for i := 6; !ok && i+2 < len(w); i++ {
			if w[i] == "-" {
				for _, n := range devs {
					if w[i+2] == "/dev/"+strings.ReplaceAll(n, "!", "/") {
						name, ok = n, true
					}
				}
				break
			}
		}
		if ok {
			return fmt.Sprintf("%s is mounted at %s", name, w[4]), nil
		}
	}
	return "", lines.Err()
}

func swapped(root string, devs map[string]string) (string, error) {
	b, err := os.ReadFile(filepath.Join(root, "proc/swaps"))
	if err != nil {
		return "", nil // a kernel without swap has no such file
	}
	for line := range strings.Lines(string(b)) {
		w := strings.Fields(line)
		for _, n := range devs {
			if len(w) > 0 && w[0] == "/dev/"+strings.ReplaceAll(n, "!", "/") {
				return n + " is swap in use", nil
			}
		}
	}
	return "", nil
}
