package osimage

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/qemu-tests/oracle"
)

// TestServerImage makes the Debian of `make test-package`: blank, but for what Debian has.
func TestServerImage(t *testing.T) {
	if os.Getenv("DISKCAST_PACKAGE") == "" {
		t.Skip("make test-package runs this (DISKCAST_PACKAGE=folder of its packages)")
	}
	need.Root(t)
	need.Tools(t, "mmdebstrap", "sfdisk", "mkfs.ext4", "mkfs.fat", "e2fsck", "debugfs", "dpkg-deb")
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	im, err := Server(ctx, Cache(), testLog(t, "debian"))
	if err != nil {
		t.Fatal(err)
	}
	if _, has := im.Root["srv/debian/Packages"]; !has {
		t.Errorf("%s has no package source", im.Dir)
	}
	if _, has := im.Root["usr/bin/diskcast"]; has {
		t.Errorf("%s is not blank", im.Dir)
	}
	if err := oracle.CheckExt(ctx, im.Disk, serverLayout.rootStart()); err != nil {
		t.Error(err)
	}
}

// TestGoldenImage makes the Debian of `make test-day`: it has what all machines of it would share.
func TestGoldenImage(t *testing.T) {
	if os.Getenv("DISKCAST_DAY") == "" {
		t.Skip("make test-day runs this (DISKCAST_DAY=folder of its packages)")
	}
	need.Root(t)
	need.Tools(t, "mmdebstrap", "sfdisk", "mkfs.ext4", "mkfs.fat", "mcopy", "e2fsck", "debugfs", "systemctl")
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	im, err := Golden(ctx, Cache(), testLog(t, "debian"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"etc/ssh/ssh_host_ed25519_key", "usr/sbin/sshd",
		"etc/systemd/system/multi-user.target.wants/ssh.service",
		"etc/systemd/system/multi-user.target.wants/systemd-networkd.service",
		"etc/systemd/network/80-lan.network"} {
		if _, has := im.Root[want]; !has {
			t.Errorf("%s has no %s", im.Dir, want)
		}
	}
	if err := oracle.CheckExt(ctx, im.Disk, goldenLayout.rootStart()); err != nil {
		t.Error(err)
	}
}
