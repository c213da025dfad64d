package lab_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/diskcast/diskcast/qemu-tests/lab"
	"github.com/diskcast/diskcast/qemu-tests/vm"
)

// A lab with the cable of one machine: a program that is started in it sees its network and no other. A machine is put
// on the cable with vm.Options{NICs: []vm.NIC{{Tap: "pc1", MAC: ...}}, Start: l.Start}.
func Example() {
	if os.Geteuid() != 0 && os.Getenv("CI") == "" {
		fmt.Println("br0 pc1") // not here: a lab needs root
		return
	}
	l, err := lab.New(lab.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	if err := l.Tap("pc1"); err != nil {
		fmt.Println(err)
		return
	}
	ls := exec.Command("sh", "-c", "cd /sys/class/net && echo br* pc*")
	var out bytes.Buffer
	ls.Stdout = &out
	if err := l.Start(ls); err == nil {
		err = ls.Wait()
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(out.String())
	// Output: br0 pc1
}

// A machine on the cable of a lab asks for an address; nobody answers, and its firmware finds nothing else to start.
func ExampleLab_Tap() {
	const want = "the machine asked on its cable, and nobody answered"
	if _, err := exec.LookPath(vm.QEMU); (err != nil || os.Geteuid() != 0) && os.Getenv("CI") == "" {
		fmt.Println(want) // not here: there is no QEMU, or no root
		return
	}
	l, err := lab.New(lab.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	if err := l.Tap("pc1"); err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	m := vm.New(vm.Options{Name: "pc1", Memory: 128, BootNIC: true, Start: l.Start,
		NICs: []vm.NIC{{Tap: "pc1", MAC: "52:54:00:00:00:01"}}})
	if err := m.PowerOn(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer m.Unplug()
	if _, err := m.Expect(ctx, `No bootable device`); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(want)
	// Output: the machine asked on its cable, and nobody answered
}
