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
