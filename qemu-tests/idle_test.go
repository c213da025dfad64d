package qemutests

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/testenv/proc"
	"github.com/diskcast/diskcast/qemu-tests/lab"
	"github.com/diskcast/diskcast/qemu-tests/site"
	"github.com/diskcast/diskcast/qemu-tests/vm"
	"github.com/diskcast/diskcast/server/doc"
)

// idleOnly skips tests of what machines boot when nothing is asked of them outside of `make test-idle`.
func idleOnly(t *testing.T) {
	t.Helper()
	if os.Getenv("DISKCAST_IDLE") == "" {
		t.Skip("make test-idle runs this (DISKCAST_IDLE=1)")
	}
	need.Tools(t, "grub-mkimage", "sfdisk", "mkfs.fat", "mcopy")
	installed(t, uefi)
}

// mayLose is what a machine that always boots from the network may lose to it before its own disk's loader runs.
const mayLose = 5 * time.Second

// TestIdle measures how long a machine takes from its firmware's first DHCP packet to the loader of its own disk, by
// what the operator said of it, and that it comes there when the server is away.
func TestIdle(t *testing.T) {
	idleOnly(t)
	for _, f := range []struct {
		name     string
		firmware vm.Firmware
		loader   string
	}{
		{"bios", vm.Firmware{}, "auto"},
		{"uefi-ipxe", uefi, "ipxe"},
		{"uefi-shim", uefi, "shim"},
	} {
		t.Run(f.name, func(t *testing.T) {
			b := setupSite(t, 20*time.Minute, withLoaders("", "--uefi-loader", f.loader))
			n := b.node("a", site.Hardware{Firmware: f.firmware})
			b.ownDisk(n, f.firmware.Code != "")
			if took := b.idle(n, doc.IdleOwnDisk); took > mayLose {
				b.Errorf("own-disk: the machine loses %v, and may lose %v", took, mayLose)
			}
			b.idle(n, doc.IdleMenu)
			b.idle(n, doc.IdleNever)
			b.choose(n)
			b.KillServer()
			b.measure(n, "no server")
		})
	}
}

// idle has the machine be idle by the word, and returns how long it takes to its own disk.
func (b *bench) idle(n *site.Node, word string) time.Duration {
	b.Helper()
	b.whenIdle(n, word)
	return b.measure(n, word)
}

// whenIdle says what the machine does when nothing is asked of it: by a rule, since the machine never came.
func (b *bench) whenIdle(n *site.Node, word string) {
	b.Helper()
	if _, err := b.Operate(b.ctx, "rule", "set", "idle", "--mac", n.MAC, "--when-idle", word); err != nil {
		b.Fatal(err)
	}
}

// measure switches the machine on, waits for its own disk's loader, and switches it off.
func (b *bench) measure(n *site.Node, what string) time.Duration {
	b.Helper()
	first := b.firstDHCP(n)
	b.on(n)
	m, err := n.Expect(b.ctx, "OWN DISK")
	if err != nil {
		b.Fatalf("%s: %v", what, err)
	}
	asked, heard := <-first
	if !heard {
		b.Fatalf("%s: tcpdump ended, and has not heard the machine ask DHCP", what)
	}
	took := m.At.Sub(asked)
	b.Logf("%-9s %6.1f s from the first DHCP packet to the own disk's loader; %5.1f s from power-on", what,
		took.Seconds(), m.At.Sub(n.SwitchedOn()).Seconds())
	n.Unplug()
	return took
}

// choose has somebody at the machine choose the second line of the menu, the agent.
func (b *bench) choose(n *site.Node) {
	b.Helper()
	b.whenIdle(n, doc.IdleMenu)
	b.on(n)
	if _, err := n.Expect(b.ctx, "Wait for a session"); err != nil {
		b.Fatal(err)
	}
	if err := n.Console().Send("\x1b[B"); err != nil {
		b.Fatal(err)
	}
	if err := n.Console().Send("\r"); err != nil {
		b.Fatal(err)
	}
	if _, err := n.Expect(b.ctx, `\] waiting for `); err != nil {
		b.Fatal(err)
	}
	b.Logf("%-9s %6.1f s from power-on to the agent", "chosen", time.Since(n.SwitchedOn()).Seconds())
	n.Unplug()
}

// firstDHCP hears when the machine asks DHCP for the first time from now on.
func (b *bench) firstDHCP(n *site.Node) <-chan time.Time {
	b.Helper()
	cmd := proc.Command(b.ctx, "tcpdump", "-i", lab.Bridge, "-l", "-n", "-tt", "-c", "1",
		"ether src "+n.MAC+" and udp dst port 67")
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := b.listens(cmd); err != nil {
		b.Fatal(err)
	}
	at := make(chan time.Time, 1)
	go func() { // ends with tcpdump, which ends with the packet or the lab
		defer close(at)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			stamp, _, _ := strings.Cut(lines.Text(), " ")
			if seconds, err := strconv.ParseFloat(stamp, 64); err == nil {
				at <- time.UnixMicro(int64(seconds * 1e6))
				break
			}
		}
		_ = cmd.Wait() // how it ended does not matter
	}()
	return at
}

// bootSector says OWN DISK on the first serial port and halts: mov ds, 0; lodsb from 0x7c21; wait for 0x3fd bit 5; out
// 0x3f8.
var bootSector = []byte("\x31\xc0\x8e\xd8\xbe\x21\x7c\xac\x84\xc0\x74\x12\x88\xc4\xba\xfd\x03\xec\xa8\x20\x74\xfb" +
	"\x88\xe0\xba\xf8\x03\xee\xeb\xe9\xf4\xeb\xfd\r\nOWN DISK\r\n\x00")

// ownDisk gives the machine a disk with a loader that says so.
func (b *bench) ownDisk(n *site.Node, efi bool) {
	b.Helper()
	if !efi {
		sector := make([]byte, 512)
		copy(sector, bootSector)
		sector[510], sector[511] = 0x55, 0xaa
		f, err := os.OpenFile(n.Disk, os.O_WRONLY, 0)
		if err != nil {
			b.Fatal(err)
		}
		if _, err = f.Write(sector); err == nil {
			err = f.Close()
		}
		if err != nil {
			b.Fatal(err)
		}
		return
	}
	config, loader := filepath.Join(b.dir, "own.cfg"), filepath.Join(b.dir, "own.efi")
	if err := os.WriteFile(config, []byte("echo\necho OWN DISK\nsleep 600\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	const start = 1 << 20
	run := func(stdin, name string, args ...string) {
		b.Helper()
		if err := proc.Input(b.ctx, nil, strings.NewReader(stdin), name, args...); err != nil {
			b.Fatal(err)
		}
	}
	run("", "grub-mkimage", "-O", "x86_64-efi", "-p", "/none", "-c", config, "-o", loader, "echo", "sleep")
	run("label: gpt\nstart=2048, size=131072, type=U\n", "sfdisk", "--quiet", n.Disk)
	run("", "mkfs.fat", "-F", "32", "-s", "1", "--offset", fmt.Sprint(start/512), n.Disk, "65536")
	at := fmt.Sprintf("%s@@%d", n.Disk, start)
	run("", "mmd", "-i", at, "::/EFI", "::/EFI/BOOT")
	run("", "mcopy", "-i", at, loader, "::/EFI/BOOT/BOOTX64.EFI")
}
