package bootos

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/agent/bootos/grub"
	"github.com/diskcast/diskcast/agent/imaging"
	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/volume"
)

// TestLoadError: the operator reads the cause, a program the errno.
func TestLoadError(t *testing.T) {
	s := &System{Kernel: grub.File{Device: 2, Path: "/boot/vmlinuz"}}
	for errno, want := range map[unix.Errno]string{
		unix.EPERM: "locked down", unix.ENOKEY: "no signature", unix.EKEYREJECTED: "no signature",
		unix.ENOEXEC: "not a kernel image",
		unix.ENOMEM:  "too little memory", unix.EADDRNOTAVAIL: "too little memory", unix.ENOSYS: "CONFIG_KEXEC_FILE",
		unix.EINVAL: "command line", unix.EIO: "input/output error",
	} {
		err := loadError(s, errno)
		if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "/boot/vmlinuz") ||
			!errors.Is(err, errno) {
			t.Errorf("%v: %v", errno, err)
		}
	}
}

func TestDevices(t *testing.T) {
	result := func(kind string, numbers ...int) *imaging.Result {
		table := &volume.Table{Kind: kind}
		for _, n := range numbers {
			table.Partitions = append(table.Partitions, volume.Partition{Number: n})
		}
		return &imaging.Result{Disk: session.Disk{Path: "/dev/nvme0n1"}, Config: &image.Config{Table: table}}
	}
	got, err := Devices(result("gpt", 1, 15))
	if diff := cmp.Diff([]Device{{Number: 1, Path: "/dev/nvme0n1p1"}, {Number: 15, Path: "/dev/nvme0n1p15"}},
		got); diff != "" || err != nil {
		t.Errorf("%v -want +got\n%s", err, diff)
	}
	got, err = Devices(result("none"))
	if diff := cmp.Diff([]Device{{Number: 0, Path: "/dev/nvme0n1"}}, got); diff != "" || err != nil {
		t.Errorf("%v -want +got\n%s", err, diff)
	}
	if _, err := Devices(result("gpt")); !errors.Is(err, ErrNoSystem) {
		t.Errorf("an empty table: %v", err)
	}
}

func TestWords(t *testing.T) {
	s := &System{Title: "Debian", Source: "GRUB", Kernel: grub.File{Path: "/k"}, Args: "ro",
		Initrds: []grub.File{{Path: "/a"}, {Path: "/b"}}}
	if got, want := s.Words(), `Debian: /k with /a, /b, command line "ro" (GRUB)`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	s.Initrds = nil
	if got := s.Words(); !strings.Contains(got, "without initrd") {
		t.Error(got)
	}
}
