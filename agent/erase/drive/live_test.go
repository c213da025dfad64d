package drive

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/agent/disk"
	"github.com/diskcast/diskcast/agent/erase"
	"github.com/diskcast/diskcast/agent/erase/ata"
	"github.com/diskcast/diskcast/agent/erase/nvme"
	"github.com/diskcast/diskcast/agent/inventory"
	"github.com/diskcast/diskcast/internal/erasure"
	"github.com/diskcast/diskcast/internal/session"
)

// TestMain is also a node's agent, when the program is called that and the kernel's command line says erase=:
// qemu-tests puts it in a machine to erase emulated disks with it.
func TestMain(m *testing.M) {
	line, err := os.ReadFile("/proc/cmdline")
	_, plan, ours := strings.Cut(string(line), " erase=")
	if err == nil && ours && filepath.Base(os.Args[0]) == "agent" {
		live(strings.Fields(plan)[0])
		return
	}
	os.Exit(m.Run())
}

// live carries out a plan, SERIAL:METHOD[:READBACK] with commas between, prints what came of it, and switches off.
func live(plan string) {
	hardware := &disk.Hardware{Inventory: &inventory.Reader{Root: "/"}}
	for _, d := range hardware.List() {
		fmt.Printf("DISK %+v\n", d)
		if err := identify(d); err != nil {
			fmt.Println("IDENTIFY", err)
		}
	}
	for _, order := range strings.Split(plan, ",") {
		part := append(strings.Split(order, ":"), "", "")
		d := &session.Descriptor{Session: "live", Target: &session.Target{Serial: part[0]}} // or the WWN
		spec := erasure.Spec{Method: part[1], ReadBack: part[2]}
		// an emulated processor on a busy machine
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		res, err := erase.Erase(ctx, d, spec, erase.Options{
			Server: talker{}, Report: talker{}, Disks: hardware,
			DiskWait: disk.Wait{For: 10 * time.Second, Quiet: time.Second, Since: time.Now()},
			Open:     func(d session.Disk) (erase.Device, error) { return Open(d) },
		})
		cancel()
		said := ""
		if err != nil {
			said = err.Error()
		}
		text, err := json.Marshal(map[string]any{"order": order, "result": res, "error": said})
		if err != nil {
			text = fmt.Appendf(nil, "%v", err)
		}
		fmt.Printf("RESULT %s\n", text)
	}
	fmt.Println("ALL DONE")
	unix.Sync()
	fmt.Println("not switched off:", unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF))
}

// identify prints what a disk says of itself: testdata of the parsers has such lines.
func identify(d session.Disk) error {
	v, err := Open(d)
	if err != nil {
		return err
	}
	defer v.Close()
	var page []byte
	if p := v.ATA(); p != nil {
		page = make([]byte, ata.Sector)
		_, err = p.Do(&ata.Command{Name: "IDENTIFY DEVICE", Protocol: ata.PIOIn, Count: 1, Command: 0xec, Data: page,
			Timeout: time.Minute})
	} else if c, _ := v.NVMe(); c != nil {
		page = make([]byte, nvme.Page)
		err = c.Do(&nvme.Command{Name: "Identify Controller", Opcode: 6, DW10: 1, Data: page, Timeout: time.Minute})
	}
	if err == nil {
		fmt.Printf("IDENTIFY %s %x\n", d.Serial, page)
	}
	return err
}

// talker is a server and a reporter that prints.
type talker struct{}

func (talker) ChooseDisk(_ context.Context, _ string, _ int, d session.DiskID) (session.DiskID, error) {
	return d, nil
}
func (talker) Progress(string, session.Progress) {}
func (talker) Step(step, level, message string, _ *session.Progress) {
	fmt.Println("STEP", level, step, message)
}
