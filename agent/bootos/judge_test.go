package bootos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/agent/bootos/sdboot"
	"github.com/diskcast/diskcast/internal/testenv/need"
)

// TestBootctlOrder asks bootctl for the order of the entries of every tree with systemd-boot. bootctl lists entries
// without their kernel and of other architectures too: these are left out of its list. A tree whose head has the line
// "bootctl" says there what bootctl of Debian 12 does not know.
func TestBootctlOrder(t *testing.T) {
	need.Root(t)
	if _, err := os.Stat("/sys/firmware/efi"); err == nil {
		if _, err := exec.LookPath("bootctl"); err != nil {
			t.Skip("bootctl's package would write to this machine's EFI partition: see .ci/packages")
		}
	}
	bootctl := need.Tool(t, "bootctl")
	asked := 0
	for _, tree := range readTrees(t) {
		if !strings.HasPrefix(tree.name, "sdboot-") && !strings.HasPrefix(tree.name, "uki-") ||
			tree.head["bootctl"] != "" {
			continue
		}
		t.Run(tree.name, func(t *testing.T) {
			vols := tree.volumes(t)
			o := sdboot.Options{ESP: 1, Arch: "x64"}
			args := []string{"list", "--no-pager", "--json=short", "--esp-path=" + mountCopy(t, vols.byNumber[1].Dir)}
			if vol := vols.byNumber[2]; vol.PartType == xbootldr && vol.Type == "vfat" {
				o.Others = []int{2}
				args = append(args, "--boot-path="+mountCopy(t, vol.Dir))
			}
			entries, err := sdboot.Entries(vols, o)
			if err != nil && len(entries) == 0 {
				t.Skip(err)
			}
			var ours []string
			for _, e := range entries {
				ours = append(ours, fmt.Sprintf("%s with %d tries left, options %q", e.ID, e.Left, e.Args))
			}
			cmd := exec.Command(bootctl, args...)
			cmd.Env = append(os.Environ(), "SYSTEMD_RELAX_ESP_CHECKS=1", "SYSTEMD_RELAX_XBOOTLDR_CHECKS=1")
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v: %s", err, err.(*exec.ExitError).Stderr)
			}
			var theirs []string
			for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
				l := struct {
					ID, Options string
					TriesLeft   int
				}{TriesLeft: -1}
				if err := d.Decode(&l); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				if strings.HasSuffix(l.ID, ".efi") {
					l.Options = "" // of the image, which an entry does not repeat
				}
				words := fmt.Sprintf("%s with %d tries left, options %q", strings.ToLower(l.ID), l.TriesLeft, l.Options)
				if slices.Contains(ours, words) {
					theirs = append(theirs, words)
				}
			}
			if diff := cmp.Diff(theirs, ours); diff != "" {
				t.Errorf("rule: %s\n-bootctl +ours\n%s", tree.rule, diff)
			}
			asked++
		})
	}
	if asked < 30 {
		t.Errorf("bootctl was asked about %d trees", asked)
	}
}

// mountCopy puts a tree into a file system of its own, which bootctl asks for.
func mountCopy(t *testing.T, tree string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tree", dir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	if err := os.CopyFS(filepath.Join(dir), os.DirFS(tree)); err != nil {
		t.Fatal(err)
	}
	return dir
}
