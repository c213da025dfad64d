package inuse

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Device says what uses the block device at path, /dev/NAME or a link to it, or one of its partitions, in words: a
// mount, swap, a device that is built on it (LVM, RAID, dm-crypt), a loop device, a process that has it open for
// writing. root is "/" but in tests. What is no block device has no users.
func Device(root, path string) ([]string, error) {
	nodes, err := nodesOf(root, path)
	if err != nil || len(nodes) == 0 {
		return nil, err
	}
	var users []string
	for _, n := range nodes {
		holders, err := os.ReadDir(filepath.Join(n.dir, "holders"))
		if err != nil {
			continue // a kernel too old to say
		}
		for _, h := range holders {
			users = append(users, n.name+" is part of "+held(root, h.Name()))
		}
	}
	mounts, err := mounted(root, nodes)
	if err != nil {
		return nil, err
	}
	users = append(append(users, mounts...), swapped(root, nodes)...)
	if root != "/" {
		return users, nil
	}
	var files []os.FileInfo
	for _, n := range nodes {
		st, err := os.Stat(n.path())
		if err != nil {
			continue // in a container without the device's node
		}
		files = append(files, st)
		over, err := loops(root, st)
		if err != nil {
			return nil, err
		}
		users = append(users, over...)
	}
	return append(users, writers(root, files)...), nil
}

// node is a block device or a partition.
type node struct {
	name   string // as in /dev
	number string // MAJOR:MINOR
	dir    string // in sysfs
}

func (n node) path() string { return "/dev/" + strings.ReplaceAll(n.name, "!", "/") }

// nodesOf lists a device and its partitions: partitions first, as people name them.
func nodesOf(root, path string) ([]node, error) {
	if real, err := filepath.EvalSymlinks(path); err == nil && root == "/" {
		path = real
	}
	name := strings.ReplaceAll(strings.TrimPrefix(path, "/dev/"), "/", "!")
	dir := filepath.Join(root, "sys/block", name)
	if _, err := os.Stat(dir); err != nil {
		dir = filepath.Join(root, "sys/class/block", name) // a partition
	}
	number, err := os.ReadFile(filepath.Join(dir, "dev"))
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	parts, err := filepath.Glob(filepath.Join(dir, name+"*", "dev"))
	if err != nil {
		return nil, err
	}
	var nodes []node
	for _, p := range parts {
		if b, err := os.ReadFile(p); err == nil {
			nodes = append(nodes, node{filepath.Base(filepath.Dir(p)), strings.TrimSpace(string(b)), filepath.Dir(p)})
		}
	}
	return append(nodes, node{name, strings.TrimSpace(string(number)), dir}), nil
}

// held is the name of a device that is built on others: dm-0, with the name that its maker gave it.
func held(root, name string) string {
	b, err := os.ReadFile(filepath.Join(root, "sys/block", name, "dm/name"))
	if err != nil {
		return name
	}
	return fmt.Sprintf("%s (%s)", name, strings.TrimSpace(string(b)))
}

func swapped(root string, nodes []node) (users []string) {
	b, err := os.ReadFile(filepath.Join(root, "proc/swaps"))
	if err != nil {
		return nil // a kernel without swap has no such file
	}
	for line := range strings.Lines(string(b)) {
		w := strings.Fields(line)
		for _, n := range nodes {
			if len(w) > 0 && w[0] == n.path() {
				users = append(users, n.name+" is swap in use")
			}
		}
	}
	return users
}
