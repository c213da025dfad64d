package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/volume/table"
)

// Partition returns the device node of partition n of a disk: /dev/sda1, /dev/nvme0n1p1.
func Partition(disk string, n int) string {
	if disk != "" && disk[len(disk)-1] >= '0' && disk[len(disk)-1] <= '9' {
		disk += "p"
	}
	return disk + strconv.Itoa(n)
}

// Reread has the kernel read the partition table of the disk at path again and waits for the nodes of the partitions
// whose numbers are given. A path that is no block device is left alone.
func Reread(ctx context.Context, path string, partitions []int) error {
	fi, err := os.Stat(path)
	if err != nil {
		return err
	}
	if fi.Mode()&os.ModeDevice == 0 || fi.Mode()&os.ModeCharDevice != 0 {
		return nil
	}
	// Listen before asking, or a node that comes in between would be waited for in vain.
	events, err := listenUevents()
	if err != nil {
		return err
	}
	defer events.Close()
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	if err := errors.Join(table.Reread(ctx, f), f.Close()); err != nil {
		return err
	}
	var want []string
	for _, n := range partitions {
		want = append(want, Partition(path, n))
	}
	return waitNodes(ctx, events, want)
}

func waitNodes(ctx context.Context, events *uevents, want []string) error {
	for {
		missing := ""
		for _, node := range want {
			if _, err := os.Stat(node); err != nil {
				missing = node
				break
			}
		}
		if missing == "" {
			return nil
		}
		if err := events.Wait(ctx); err != nil {
			return fmt.Errorf("%s did not appear after the partition table was written: %w", missing, err)
		}
	}
}

// uevents is a subscription to the kernel's device events.
type uevents struct{ f *os.File }

// listenUevents subscribes to multicast group 1, the kernel's own events (udev sends to group 2).
func listenUevents() (*uevents, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK,
		unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("device events: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("device events: %w", err)
	}
	return &uevents{f: os.NewFile(uintptr(fd), "uevents")}, nil
}

// Wait returns after the next event, whatever it is about.
func (u *uevents) Wait(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = u.f.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, 8<<10)
	_, err := u.f.Read(buf)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, unix.ENOBUFS):
		return nil // events were lost: look again
	}
	return err
}

func (u *uevents) Close() error { return u.f.Close() }

// SetReadOnly has the kernel refuse writes to the disk, as long as the restored system is only looked at. Errors do not
// matter: it is a second lock on a door that read-only mounts close already.
func SetReadOnly(path string, on bool) {
	f, err := os.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return
	}
	defer f.Close()
	v := 0
	if on {
		v = 1
	}
	_ = unix.IoctlSetPointerInt(int(f.Fd()), unix.BLKROSET, v)
}

// Nodes returns the partitions of the disk that the kernel knows, in the order of their numbers.
func Nodes(root, path string) ([]string, error) {
	name := strings.ReplaceAll(strings.TrimPrefix(path, "/dev/"), "/", "!")
	files, err := filepath.Glob(filepath.Join(root, "sys/block", name, name+"*", "partition"))
	if err != nil {
		return nil, err
	}
	byNumber := map[int]string{}
	high := 0
	for _, f := range files {
		b, err := os.ReadFile(f)
		n, err2 := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil || err2 != nil || n < 1 || n > 1<<16 {
			continue
		}
		byNumber[n] = "/dev/" + strings.ReplaceAll(filepath.Base(filepath.Dir(f)), "!", "/")
		high = max(high, n)
	}
	var nodes []string
	for n := 1; n <= high; n++ {
		if node, ok := byNumber[n]; ok {
			nodes = append(nodes, node)
		}
	}
	return nodes, nil
}
