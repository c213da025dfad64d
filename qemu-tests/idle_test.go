package qemutests

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/testenv/proc"
	"github.com/diskcast/diskcast/qemu-tests/lab"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
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
	installed(t, uefi, secureBoot)
}

// mayLose is what a machine that always boots from the network may lose to it before its own disk's loader runs, beside
// the same firmware that starts the disk first: by BIOS, and by UEFI where its image came from here.
const mayLose = 5 * time.Second

// TestIdle measures how long a machine takes to the loader of its own disk, by what the operator said of it, and that
// it comes there when the server is away.
func TestIdle(t *testing.T) {
	idleOnly(t)
	for _, f := range []struct {
		name     string
		firmware vm.Firmware
		loader   string
		grub13   bool // Debian 13's GRUB for the network instead of 12's
		debian   bool // the disk has Debian's shim and GRUB in EFI/debian, else a fallback
		extra    []string
	}{
		{"bios", vm.Firmware{}, "auto", false, false, nil},
		{"uefi-ipxe", uefi, "ipxe", false, false, nil},
		{"uefi-shim", uefi, "shim", false, false, nil},
		{"uefi-http", uefi, "auto", true, true, onlyHTTP},
		{"secure-boot", secureBoot, "auto", false, true, nil},
		{"secure-boot-grub13", secureBoot, "auto", true, true, nil},
	} {
		t.Run(f.name, func(t *testing.T) {
			grub := ""
			if f.grub13 {
				if grub = os.Getenv("DISKCAST_GRUB"); grub == "" {
					need.Skip(t, "DISKCAST_GRUB names no package of a GRUB 2.12: .ci/deb13 fetches one")
				}
			}
			var debian *osimage.Image
			b := setupSite(t, 20*time.Minute, func(image *osimage.Image) site.Options {
				debian = image
				return withLoaders(grub, "--uefi-loader", f.loader)(image)
			})
			n := b.node("a", site.Hardware{Firmware: f.firmware, Extra: f.extra})
			first := b.node("first", site.Hardware{Firmware: f.firmware, DiskFirst: true})
			for _, n := range []*site.Node{n, first} {
				switch {
				case f.debian:
					b.debianDisk(n, debian)
				case f.firmware.Code != "":
					b.fallbackDisk(n)
				default:
					b.biosDisk(n)
				}
			}
			least := b.alone(first)
			switch lost := b.idle(n, doc.IdleOwnDisk) - least; {
			case lost > mayLose && f.firmware.Code == "":
				b.Errorf("own-disk: the machine loses %v, and may lose %v", lost, mayLose)
			case lost > mayLose: // EDK II's wait for DHCP and GRUB's bytes alone are more (docs/adr/0188)
				b.Logf("own-disk: a machine that was never restored loses %v; %v are the aim", lost, mayLose)
			}
			b.idle(n, doc.IdleMenu)
			b.idle(n, doc.IdleNever)
			b.choose(n)
			b.KillServer()
			b.measure(n, "no server")
		})
	}
}

// TestIdleImaged measures what a machine loses that always boots from the network and that this server gave its image:
// the agent made its disk the firmware's next choice.
func TestIdleImaged(t *testing.T) {
	idleOnly(t)
	for _, f := range []struct {
		name     string
		firmware vm.Firmware
	}{{"uefi", uefi}, {"secure-boot", secureBoot}} {
		t.Run(f.name, func(t *testing.T) {
			var debian *osimage.Image
			b := setupSite(t, 10*time.Minute, func(image *osimage.Image) site.Options {
				debian = image
				return withLoaders("")(image)
			})
			first := b.node("first", site.Hardware{Firmware: f.firmware, DiskFirst: true})
			b.debianDisk(first, debian)
			if err := b.Import(b.ctx, "own", first.Disk); err != nil {
				b.Fatal(err)
			}
			n := b.node("a", site.Hardware{Firmware: f.firmware})
			se := b.create("own", []*site.Node{n}, "--then", "poweroff")
			b.on(n)
			b.done(se)
			b.off(n)
			n.OwnOrder()
			least := b.alone(first)
			if lost := b.measure(n, "imaged") - least; lost > mayLose {
				b.Errorf("the machine loses %v, and may lose %v", lost, mayLose)
			}
			b.KillServer()
			b.measure(n, "no server")
		})
	}
}

// alone measures a machine that starts its own disk by itself.
func (b *bench) alone(n *site.Node) time.Duration {
	b.Helper()
	b.on(n)
	m, err := n.Expect(b.ctx, "OWN DISK")
	if err != nil {
		b.Fatalf("the disk first: %v", err)
	}
	took := m.At.Sub(n.SwitchedOn())
	b.Logf("%-9s %6.1f s from power-on to the own disk's loader", "disk first", took.Seconds())
	n.Unplug()
	return took
}

// idle has the machine be idle by the word, and returns how long it takes from power-on to its own disk.
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

// measure switches the machine on, waits for its own disk's loader, and switches it off. It returns the time from
// power-on.
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
	took := m.At.Sub(n.SwitchedOn())
	b.Logf("%-9s %6.1f s from the first DHCP packet to the own disk's loader; %5.1f s from power-on", what,
		m.At.Sub(asked).Seconds(), took.Seconds())
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

// biosDisk gives the machine a disk with a boot sector that says so.
func (b *bench) biosDisk(n *site.Node) {
	b.Helper()
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
}

// saysSo is the configuration of a disk's GRUB.
const saysSo = "echo\necho OWN DISK\nsleep 600\n"

// fallbackDisk gives the machine a disk with a loader that says so, as firmware finds it that knows nothing of it.
func (b *bench) fallbackDisk(n *site.Node) {
	b.Helper()
	config, loader := filepath.Join(b.dir, "own.cfg"), filepath.Join(b.dir, "own.efi")
	if err := os.WriteFile(config, []byte(saysSo), 0o600); err != nil {
		b.Fatal(err)
	}
	b.run("", "grub-mkimage", "-O", "x86_64-efi", "-p", "/none", "-c", config, "-o", loader, "echo", "sleep")
	b.espDisk(n, map[string]string{"EFI/BOOT/BOOTX64.EFI": loader})
}

// debianDisk gives the machine a disk as Debian leaves it that was installed as removable too, signed for Secure Boot.
func (b *bench) debianDisk(n *site.Node, debian *osimage.Image) {
	b.Helper()
	config := filepath.Join(b.dir, "own.cfg")
	if err := os.WriteFile(config, []byte(saysSo), 0o600); err != nil {
		b.Fatal(err)
	}
	grub := filepath.Join(b.dir, "grubx64.efi")
	b.run("", "mcopy", "-n", "-i", fmt.Sprintf("%s@@%d", debian.Disk, espAt), "::/EFI/BOOT/grubx64.efi", grub)
	b.espDisk(n, map[string]string{"EFI/BOOT/BOOTX64.EFI": debian.Shim, "EFI/BOOT/grubx64.efi": grub,
		"EFI/debian/shimx64.efi": debian.Shim, "EFI/debian/grubx64.efi": grub, "EFI/debian/grub.cfg": config})
}

// espAt is where the EFI system partition of every disk here begins, in bytes: osimage's and those of this file.
const espAt = 1 << 20

// espDisk gives the machine a disk of one EFI system partition with the files.
func (b *bench) espDisk(n *site.Node, files map[string]string) {
	b.Helper()
	b.run("label: gpt\nstart=2048, size=131072, type=U\n", "sfdisk", "--quiet", n.Disk)
	b.run("", "mkfs.fat", "-F", "32", "-s", "1", "--offset", fmt.Sprint(espAt/512), n.Disk, "65536")
	at := fmt.Sprintf("%s@@%d", n.Disk, espAt)
	made := map[string]bool{}
	b.run("", "mmd", "-i", at, "::/EFI")
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if dir := path.Dir(name); !made[dir] {
			b.run("", "mmd", "-i", at, "::/"+dir)
			made[dir] = true
		}
		b.run("", "mcopy", "-i", at, files[name], "::/"+name)
	}
}

func (b *bench) run(stdin, name string, args ...string) {
	b.Helper()
	if err := proc.Input(b.ctx, nil, strings.NewReader(stdin), name, args...); err != nil {
		b.Fatal(err)
	}
}
