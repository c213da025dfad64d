package qemutests

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/testenv/proc"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/site"
	"github.com/diskcast/diskcast/qemu-tests/vm"
	"github.com/diskcast/diskcast/server/doc"
)

// maxToHello is the bar of `make bench-boot` for the seconds from the kernel to the hello, with the modules of a cloud
// kernel. That of the archive is maxMadeFor, that of the own disk mayLose.
const maxToHello = 3.0

// benchRuns is how often each row is measured: the start with the least time from the kernel's start to the hello
// counts.
func benchRuns() int {
	if n, err := strconv.Atoi(os.Getenv("DISKCAST_BENCH_RUNS")); err == nil && n > 0 {
		return n
	}
	return 3
}

// benchStart is one row of the bench: seconds of each step of a start, and what it took.
type benchStart struct {
	Way     string `json:"way"`
	CPUs    int    `json:"cpus"`
	Memory  int    `json:"memory"`        // MiB
	Kernel  string `json:"modules"`       // cloud; amd64: the usual one; for: that with this machine's drivers alone
	Archive int64  `json:"archive_bytes"` // the initramfs
	Fetched int64  `json:"fetched_bytes"` // all that went to the machine until the hello

	Firmware float64 `json:"firmware"`    // power-on to the first request to DHCP that the server answers
	First    float64 `json:"first_stage"` // to the script or the configuration
	Load     float64 `json:"load"`        // to the last byte of kernel and archive
	Unpack   float64 `json:"unpack"`      // to the start of the kernel's clock: it unpacks itself
	Boot     float64 `json:"kernel"`      // to uinit: the kernel, and the archive unpacked
	Drivers  float64 `json:"drivers"`
	Network  float64 `json:"network"` // to the lease, which is asked for beside the drivers: what it took longer
	Hello    float64 `json:"hello"`   // to the answer to the hello

	ToHello float64 `json:"kernel_to_hello"` // by the kernel's clock
	Total   float64 `json:"total"`
	CPU     float64 `json:"cpu"` // seconds of the host's processor that QEMU took in all
}

// benchOwnDisk is what a machine of which nothing is asked loses before its own disk's loader.
type benchOwnDisk struct {
	Way   string  `json:"way"`
	Alone float64 `json:"alone"` // seconds from power-on, the disk first
	Asked float64 `json:"asked"` // the network first
	Lost  float64 `json:"lost"`
}

// TestBenchBoot measures starts from power-on to the hello by each way, and to the own disk, and writes both to
// build/bench/boot.json. A bar that is missed is printed as missed; it fails when something did not run.
func TestBenchBoot(t *testing.T) {
	if os.Getenv("DISKCAST_BENCH_BOOT") == "" {
		t.Skip("make bench-boot runs this (DISKCAST_BENCH_BOOT=1)")
	}
	installed(t, uefi)
	cloud, usual := os.Getenv("DISKCAST_KERNEL_DEB"), os.Getenv("DISKCAST_USB_KERNEL")
	if cloud == "" || usual == "" {
		need.Skip(t, "DISKCAST_KERNEL_DEB and DISKCAST_USB_KERNEL name no packages: .ci/kernel-deb fetches them")
	}
	var out struct {
		V       int            `json:"v"`
		Accel   string         `json:"accel"`
		Starts  []benchStart   `json:"starts"`
		OwnDisk []benchOwnDisk `json:"own_disk"`
	}
	out.V = 1
	if a, err := vm.Accelerator(t.Context()); err == nil {
		out.Accel = a.Name
	}
	for _, c := range []struct {
		way, kernel  string
		cpus, memory int
		firmware     vm.Firmware
		extra        []string
		loader       string
	}{
		{wayBIOS, "cloud", 2, 1024, vm.Firmware{}, nil, "ipxe"},
		{wayBIOS, "cloud", 1, 1024, vm.Firmware{}, nil, "ipxe"},
		{wayBIOS, "amd64", 2, 1024, vm.Firmware{}, nil, "ipxe"},
		{wayBIOS, "for", 2, 1024, vm.Firmware{}, nil, "ipxe"},
		// With memory above 4 GiB, where OVMF was not: docs/boot-time.md says what the other costs under emulation.
		{wayUEFI, "cloud", 2, 4096, uefi, nil, "ipxe"},
		{wayHTTP, "cloud", 2, 4096, uefi, onlyHTTP, "ipxe"},
		{wayShim, "cloud", 2, 4096, uefi, nil, "shim"},
		{wayUEFI, "cloud", 2, 1024, uefi, nil, "ipxe"},
	} {
		t.Run(fmt.Sprintf("%s-%s-%d-%d", c.way, c.kernel, c.cpus, c.memory), func(t *testing.T) {
			o := site.Options{ServeArgs: []string{"--uefi-loader", c.loader},
				Append: os.Getenv("DISKCAST_BENCH_APPEND")}
			kernel := usual
			if c.kernel == "cloud" {
				kernel = cloud
			}
			if c.way == wayShim {
				debian := debianImage(t.Context(), t)
				o.Shim, o.GRUB = debian.Shim, debian.GRUB
			}
			if c.kernel == "for" {
				o.MkimageArgs = []string{"--for", benchMachine(t, usual)}
			}
			b := setupBy(t, 15*time.Minute, func(context.Context, *testing.T) *osimage.Image {
				return &osimage.Image{Kernel: kernel}
			}, func(*osimage.Image) site.Options { return o })
			var best benchStart
			for i := range benchRuns() {
				n := b.node(fmt.Sprint("a", i), site.Hardware{Memory: c.memory, CPUs: c.cpus, Firmware: c.firmware,
					Extra: c.extra})
				got := b.start(t, n)
				keepConsole(t, n, fmt.Sprintf("bench_%s_%s_%d_%d_%d", c.way, c.kernel, c.cpus, c.memory, i))
				t.Logf("%.2f s from the kernel to the hello, %.1f s in all, of which QEMU had %.1f s of a processor",
					got.ToHello, got.Total, got.CPU)
				if i == 0 || got.ToHello < best.ToHello {
					best = got
				}
			}
			best.Way, best.Kernel, best.CPUs, best.Memory = c.way, c.kernel, c.cpus, c.memory
			best.Archive = b.archive(t, filepath.Join(b.dir, "boot"))
			out.Starts = append(out.Starts, best)
		})
	}
	t.Run("own-disk", func(t *testing.T) {
		for _, c := range []struct {
			way      string
			firmware vm.Firmware
		}{{wayBIOS, vm.Firmware{}}} {
			b := setupBy(t, 10*time.Minute, func(context.Context, *testing.T) *osimage.Image {
				return &osimage.Image{Kernel: cloud}
			}, func(*osimage.Image) site.Options { return site.Options{} })
			n, first := b.node("a", site.Hardware{Firmware: c.firmware}),
				b.node("first", site.Hardware{Firmware: c.firmware, DiskFirst: true})
			b.biosDisk(n)
			b.biosDisk(first)
			alone := b.alone(first).Seconds()
			asked := b.idle(n, doc.IdleOwnDisk).Seconds()
			out.OwnDisk = append(out.OwnDisk, benchOwnDisk{c.way, alone, asked, asked - alone})
		}
	})
	t.Log(benchTable(out.Starts, out.OwnDisk))
	file := filepath.Join(osimage.ModuleRoot(), "build", "bench", "boot.json")
	text, err := json.MarshalIndent(out, "", "  ")
	if err == nil {
		if err = os.MkdirAll(filepath.Dir(file), 0o755); err == nil {
			err = os.WriteFile(file, append(text, '\n'), 0o644)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// benchTable is the result for people.
func benchTable(starts []benchStart, own []benchOwnDisk) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%-10s %-6s %4s %5s %9s %8s %6s %6s %6s %7s %7s %6s %6s | %6s %6s %6s\n", "way", "kernel",
		"CPUs", "MiB", "firmware", "1st", "load", "unpack", "boot", "drivers", "network", "hello", "sent", "k->h",
		"total", "CPU")
	for _, s := range starts {
		fmt.Fprintf(&b, "%-10s %-6s %4d %5d %9.1f %8.1f %6.1f %6.1f %6.2f %7.2f %7.2f %6.2f %6.1f | %6.2f %6.1f "+
			"%6.1f\n", s.Way, s.Kernel, s.CPUs, s.Memory, s.Firmware, s.First, s.Load, s.Unpack, s.Boot, s.Drivers,
			s.Network, s.Hello, float64(s.Fetched)/(1<<20), s.ToHello, s.Total, s.CPU)
		switch s.Kernel {
		case "cloud":
			fmt.Fprintf(&b, "  %s: kernel to hello %.2f s, the bar is %.1f s\n", hit(s.ToHello <= maxToHello),
				s.ToHello, maxToHello)
		case "for":
			fmt.Fprintf(&b, "  %s: the archive has %.1f MiB, the bar is %d MiB\n", hit(s.Archive <= maxMadeFor),
				float64(s.Archive)/(1<<20), maxMadeFor>>20)
		}
	}
	for _, s := range own {
		fmt.Fprintf(&b, "%s: own disk on %s: %.1f s lost, the bar is %.0f s\n", hit(s.Lost <= mayLose.Seconds()), s.Way,
			s.Lost, mayLose.Seconds())
	}
	return b.String()
}

func hit(ok bool) string {
	if ok {
		return "reached"
	}
	return "MISSED"
}

// benchMachine is the inventory of the bench's BIOS machine, as `machine inventory` tells it.
func benchMachine(t *testing.T, kernel string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "inventory.json")
	// A test of its own, for its site is another one, which ends with it.
	told := t.Run("told", func(t *testing.T) {
		b := setupBy(t, 10*time.Minute, func(context.Context, *testing.T) *osimage.Image {
			return &osimage.Image{Kernel: kernel}
		}, func(*osimage.Image) site.Options { return site.Options{} })
		n := b.node("told", site.Hardware{Memory: 1024})
		b.on(n)
		b.hello(t, n)
		text, err := b.Operate(b.ctx, "machine", "inventory")
		if err != nil {
			t.Fatal(err)
		}
		n.Unplug()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	if !told {
		t.FailNow()
	}
	return file
}

// What a node's console says at each step, with the seconds of the kernel's clock.
var (
	saysDrivers = `up=([0-9.]+) level=INFO msg="drivers are loaded".* seconds=([0-9.]+)\s`
	saysNetwork = `diskcast \[ *([0-9.]+)\] network is up`
	saysHello   = `diskcast \[ *([0-9.]+)\] agent: node `
)

// start takes one machine from power-on to its hello and off.
func (b *bench) start(t *testing.T, n *site.Node) benchStart {
	t.Helper()
	b.on(n)
	defer n.Unplug()
	m, err := n.Expect(b.ctx, saysHello)
	if err != nil {
		t.Fatal(err)
	}
	at := m.At
	console, err := os.ReadFile(n.Log)
	if err != nil {
		t.Fatal(err)
	}
	clock := func(pattern string) (seconds []float64) {
		t.Helper()
		said := regexp.MustCompile(pattern).FindSubmatch(console)
		if said == nil {
			t.Fatalf("%s does not say %s", n.Log, pattern)
		}
		for _, g := range said[1:] {
			f, err := strconv.ParseFloat(string(g), 64)
			if err != nil {
				t.Fatal(err)
			}
			seconds = append(seconds, f)
		}
		return seconds
	}
	// Drivers and network are got ready side by side.
	drivers, network, hello := clock(saysDrivers), clock(saysNetwork)[0], clock(saysHello)[0]
	ready := max(drivers[0], network)
	cpu, err := n.CPU()
	if err != nil {
		t.Fatal(err)
	}
	s := benchStart{Boot: drivers[0] - drivers[1], Drivers: drivers[1], Network: ready - drivers[0],
		Hello: hello - ready, ToHello: hello,
		Total: at.Sub(n.SwitchedOn()).Seconds(), CPU: cpu.Seconds(), Fetched: b.sent(t, n)}
	var node doc.Node
	if err := b.Ask(b.ctx, &node, "node", "show", n.MAC); err != nil {
		t.Fatal(err)
	}
	from := n.SwitchedOn()
	for _, step := range []struct {
		name string
		into *float64
	}{{doc.StepDHCP, &s.Firmware}, {doc.StepScript, &s.First}, {doc.StepInitramfs, &s.Load}} {
		mark, ok := node.Trace[step.name]
		if !ok {
			t.Fatalf("the server does not know when %s came to step %q: %v", n.MAC, step.name, node.Trace)
		}
		*step.into, from = mark.Time.Sub(from).Seconds(), mark.Time
	}
	s.Unpack = at.Sub(from).Seconds() - s.ToHello
	return s
}

// sent is how many bytes went to a machine's card.
func (b *bench) sent(t *testing.T, n *site.Node) int64 {
	t.Helper()
	var text strings.Builder
	cmd := proc.Command(b.ctx, "ip", "-s", "-o", "link", "show", n.Tap)
	cmd.Stdout = &text
	if err := b.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	// What the host sends on the tap is what the machine gets.
	m := regexp.MustCompile(`TX: *bytes[^\\]*\\ *([0-9]+)`).FindStringSubmatch(text.String())
	if m == nil {
		t.Fatalf("ip says of %s: %s", n.Tap, text.String())
	}
	bytes, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}
