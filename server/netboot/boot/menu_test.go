package boot

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

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
	for _, what := range []string{askNode, askMenu, askOwn} {
		for _, boots := range []netboot.What{netboot.Menu, netboot.Nothing, netboot.OwnDisk, netboot.Agent} {
			text, _, err := d.grubSays(boots, grubAsk{what, menuMAC}, "x")
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(text, "#") { // it says nothing, which the checker does not like
				continue
			}
			cmd := exec.Command(check)
			cmd.Stdin = strings.NewReader(text)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s, %s: %v: %s\n%s", boots, what, err, out, text)
			}
		}
	}
}
