package boot

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/server/netboot"
)

const menuMAC = "52:54:00:00:00:04"

// TestMenu: each line that may fail leads to the menu or to the own disk, and a memory test is offered only where it is
// there.
func TestMenu(t *testing.T) {
	d := tree(t)
	text := d.menu(menuMAC)
	if strings.Contains(text, "Test its memory") || strings.Contains(d.grubMenu(menuMAC), "Test its memory") {
		t.Errorf("a memory test that is not there is offered:\n%s", text)
	}
	for _, name := range []string{MemtestBIOS, MemtestUEFI} {
		if err := os.WriteFile(filepath.Join(d.Path(), name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text = d.menu(menuMAC)
	labels, jumps := map[string]bool{}, []string{}
	for line := range strings.SplitSeq(text, "\n") {
		if label, ok := strings.CutPrefix(line, ":"); ok {
			labels[label] = true
		}
		words := strings.Fields(line)
		for i, w := range words {
			if w == "goto" && !strings.HasPrefix(words[i+1], "$") {
				jumps = append(jumps, words[i+1])
			}
			if w == "item" {
				jumps = append(jumps, words[i+1])
			}
		}
		switch first, _, _ := strings.Cut(line, " "); first {
		case "menu", "choose", "goto", "chain", "kernel", "boot", "iseq", "sanboot":
			if !strings.Contains(line, "||") {
				t.Errorf("the line ends the script when it fails: %s", line)
			}
		}
	}
	for _, to := range jumps {
		if !labels[to] {
			t.Errorf("there is no label %s in\n%s", to, text)
		}
	}
	if len(jumps) < 12 || !strings.HasSuffix(text, ownDisk) {
		t.Errorf("%d jumps in\n%s", len(jumps), text)
	}
}

// TestGRUBReadsItsMenu has GRUB's own checker read what it is sent.
func TestGRUBReadsItsMenu(t *testing.T) {
	check := need.Tool(t, "grub-script-check")
	d := tree(t)
	if err := os.WriteFile(filepath.Join(d.Path(), MemtestUEFI), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{askNode, askMenu, askOwn, lostSeveral} {
		for _, boots := range []netboot.What{netboot.Menu, netboot.Nothing, netboot.OwnDisk, netboot.Agent,
			netboot.Memtest} {
			for _, start := range []netboot.Start{{}, {Firmware: "x"},
				{Partition: "11111111-2222-3333-4444-555555555555", File: "EFI/debian/shimx64.efi"}} {
				text, _, err := d.grubSays(boots, start, grubAsk{what, menuMAC}, "x")
				if err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(text, "#") { // it says nothing, which the checker does not like
					continue
				}
				cmd := exec.Command(check)
				cmd.Stdin = strings.NewReader(text)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%s, %s, %+v: %v: %s\n%s", boots, what, start, err, out, text)
				}
			}
		}
	}
}

// TestChoices: a menu has the time-out, the way to the agent and the test that the operator gave it.
func TestChoices(t *testing.T) {
	d := tree(t)
	for _, name := range []string{MemtestBIOS, MemtestUEFI} {
		if err := os.WriteFile(filepath.Join(d.Path(), name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.Choices = func(mac string) netboot.Choices {
		if mac != menuMAC {
			t.Errorf("asked for %s", mac)
		}
		return netboot.Choices{Seconds: 42, Agent: "More: the menu hall"}
	}
	for _, text := range []string{d.menu(menuMAC), d.grubMenu(menuMAC)} {
		if !strings.Contains(text, "42") || !strings.Contains(text, "More: the menu hall") ||
			strings.Contains(text, "emtest") || strings.Contains(text, "Wait for") {
			t.Errorf("the menu is\n%s", text)
		}
	}
}

// TestMemtest: who chose the test of memory at its console gets it, and the agent again where it does not start.
func TestMemtest(t *testing.T) {
	d := tree(t)
	text, shown, err := d.scriptSays(netboot.Memtest, menuMAC, "")
	if err != nil || shown != memtestScript || !strings.Contains(text, "\nkernel ${test} && boot ||\n") ||
		!strings.Contains(text, "chain "+Script+"?mac=52-54-00-00-00-04&pick=agent") {
		t.Errorf("iPXE gets %q, %q, %v", text, shown, err)
	}
	text, shown, err = d.scriptSays(netboot.Memtest, menuMAC, pickAgent)
	if err != nil || text != "" || shown != Script {
		t.Errorf("when it did not start iPXE gets %q, %q, %v", text, shown, err)
	}
	text, shown, err = d.grubSays(netboot.Memtest, netboot.Start{}, grubAsk{askNode, menuMAC}, "node.cfg")
	if err != nil || shown != memtestGRUB || !strings.Contains(text, "\nif linux \"$cmdpath/memtest.efi\"; then\n") {
		t.Errorf("GRUB gets %q, %q, %v", text, shown, err)
	}
}

// TestMemtestSpeaks: the test of memory is told of the serial line on which people see the nodes, in each of the four
// scripts.
func TestMemtestSpeaks(t *testing.T) {
	for cmdline, want := range map[string]string{
		"quiet": "",
		"console=tty0 console=ttyS1,115200n8 quiet":                             " console=ttyS1,115200",
		"console=ttyS0 console=tty0":                                            " console=ttyS0,9600",
		"console=ttyS0,9600 console=ttyS2,57600n8r":                             " console=ttyS2,57600",
		"console=ttyS1,115200 console=ttyS4,9600":                               " console=ttyS1,115200",
		"console=ttyS:0 console=ttyS console=uart8250,io,0x3f8 noconsole=ttyS0": "",
		`console=ttyS0,"`: " console=ttyS0,9600",
	} {
		d := NewDir(layOut(t, func(m *bootdir.Manifest) { m.Cmdline = cmdline }))
		for _, name := range []string{MemtestBIOS, MemtestUEFI} {
			if err := os.WriteFile(filepath.Join(d.Path(), name), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		d.Choices = func(string) netboot.Choices { return netboot.Choices{Seconds: 9, Agent: "More", Memtest: true} }
		for _, c := range []struct{ text, line string }{
			{d.menu(menuMAC), "\nkernel " + MemtestBIOS + want + " || goto menu\n"},
			{d.menu(menuMAC), "\nkernel " + MemtestUEFI + want + " || goto menu\n"},
			{d.memtest(menuMAC), "\nkernel ${test}" + want + " && boot ||\n"},
			{d.grubMenu(menuMAC), "\n  linux \"$cmdpath/" + MemtestUEFI + "\"" + want + "\n"},
			{d.grubMemtest(), "\nif linux \"$cmdpath/" + MemtestUEFI + "\"" + want + "; then\n"},
		} {
			if !strings.Contains(c.text, c.line) {
				t.Errorf("%s: want %q in\n%s", cmdline, c.line, c.text)
			}
		}
	}
}
