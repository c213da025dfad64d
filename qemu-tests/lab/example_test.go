package lab_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"

	"github.com/diskcast/diskcast/qemu-tests/lab"
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
