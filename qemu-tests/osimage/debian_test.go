package osimage

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/sparse"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/qemu-tests/oracle"
	"github.com/diskcast/diskcast/qemu-tests/vm"
)

// TestDebianBoots makes the Debian disk (from the cache when DISKCAST_CACHE has it) and boots a copy of it to its
// login.
func TestDebianBoots(t *testing.T) {
	need.Root(t)
	need.Tools(t, "mmdebstrap", "sfdisk", "mkfs.ext4", "mkfs.fat", "mcopy", "debugfs", vm.QEMU)
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	im, err := Debian(ctx, Cache(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk.raw")
	if err := sparse.Copy(ctx, im.Disk, disk); err != nil {
		t.Fatal(err)
	}
	m := vm.New(vm.Options{Name: "debian", Disks: []vm.Disk{{Path: disk}}, Log: testLog(t, "debian"),
		Kernel: im.Kernel, Initrd: im.Initrd, Append: "root=UUID=" + im.RootUUID + " " + im.Cmdline})
	start := time.Now()
	if err := m.PowerOn(ctx); err != nil {
		t.Fatal(err)
	}
	defer m.Unplug()
	if _, err := m.Expect(ctx, LoginPrompt); err != nil {
		t.Fatal(err)
	}
	t.Logf("login prompt after %v", time.Since(start).Round(time.Millisecond))
	if err := Login(ctx, m); err != nil {
		t.Fatal(err)
	}
	if err := m.Console().Send(PowerOff); err != nil {
		t.Fatal(err)
	}
	if err := m.WaitOff(ctx); err != nil {
		t.Fatal(err)
	}
	// What a boot writes is known: nothing else may differ, or the tests after kexec would look away from too little.
	done, err := oracle.Check(ctx,
		oracle.Disk{Path: disk, Like: im.Disk, Root: im.Root, ESP: im.ESP, Ignore: BootWrites}, dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range done {
		t.Log(line)
	}
}

func testLog(t *testing.T, name string) *os.File {
	f, err := os.Create(filepath.Join(t.TempDir(), name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			b, _ := os.ReadFile(f.Name())
			t.Logf("console of %s:\n%s", name, b)
		}
		f.Close()
	})
	return f
}
