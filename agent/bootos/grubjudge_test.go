package bootos

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/need"
)

// judgeFunctions stand before a configuration: grub-emu starts no kernel, so that linux says what it was given, and
// ends GRUB. A kernel that is not there fails, as it does in GRUB.
const judgeFunctions = `set pager=0
set grub_platform=%s
set grub_cpu=%s
function linux {
	if [ -f "$1" ]; then
		echo "==ROOT $root"
		for a in "$@"; do echo "==ARG $a"; done
		exit
	fi
	false
}
function linux16 { linux "$@"; }
function linuxefi { linux "$@"; }
function initrd { true; }
function initrd16 { true; }
function initrdefi { true; }
set root=%s
set prefix=(%[3]s)%[4]s
configfile (%[3]s)%[5]s
`

var (
	grubSource = regexp.MustCompile(`^GRUB, (\S+\.cfg) on partition (\d+)$`)
	timeouts   = regexp.MustCompile(`timeout=[1-9][0-9]*`)
	escapes    = regexp.MustCompile("\x1b\\[[0-9;]*[a-zA-Z]|\r")
	grubDevice = regexp.MustCompile(`^hd0,(?:gpt|msdos)?([0-9]+)$`)
)

// TestBootTreesGRUB has GRUB itself (grub-emu) run the configuration of every tree that comes to a kernel through one,
// on a disk with the tree's files, and say which kernel it starts with which words. A tree whose head has the line
// "emu" says there what grub-emu of Debian 12 cannot do.
func TestBootTreesGRUB(t *testing.T) {
	need.Tools(t, "grub-emu", "sfdisk", "mke2fs")
	var asked atomic.Int32
	var wg sync.WaitGroup
	free := make(chan struct{}, 4)
	for _, tree := range readTrees(t) {
		if tree.wantErr != "" || tree.head["emu"] != "" {
			continue
		}
		s, err := Find(tree.volumes(t), tree.firmware(t))
		if err != nil {
			t.Fatalf("%s: %v", tree.name, err)
		}
		m := grubSource.FindStringSubmatch(s.Source)
		if m == nil || !tree.onDisk() {
			continue
		}
		dir := t.TempDir()
		wg.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			root, args, err := tree.askGRUB(dir, m[1], m[2])
			asked.Add(1)
			if err != nil {
				t.Errorf("%s: %v", tree.name, err)
				return
			}
			kernel := ""
			if len(args) > 0 {
				kernel = args[0]
				if dev, rest, is := strings.Cut(kernel, ")"); is && strings.HasPrefix(dev, "(") {
					root, kernel = dev[1:], rest
				}
			}
			got := "kernel=p?" + kernel
			if dev := grubDevice.FindStringSubmatch(root); dev != nil {
				got = "kernel=p" + dev[1] + path.Clean(kernel)
			}
			words := "BOOT_IMAGE=" + strings.Join(args, " ")
			want := fmt.Sprintf("kernel=p%d%s", s.Kernel.Device, path.Clean(s.Kernel.Path))
			if got != want || !strings.ContainsAny(s.Args, `\"'`) && words != s.Args {
				t.Errorf("%s\nrule: %s\nGRUB: %s args=%q\nours: %s args=%q", tree.name, tree.rule, got, words, want,
					s.Args)
			}
		})
	}
	wg.Wait()
	if n := asked.Load(); n < 60 {
		t.Errorf("GRUB was asked about %d trees", n)
	}
	t.Logf("GRUB was asked about %d trees", asked.Load())
}

// onDisk tells whether grub-emu reads the tree: no btrfs, whose subvolumes only a mount makes, no device that is made
// of others, and nothing of Red Hat's blscfg.
func (b *bootTree) onDisk() bool {
	for _, v := range b.disk {
		if v.Type == "btrfs" || len(v.GRUB) > 0 || v.Number < 1 || v.Number > 4 {
			return false
		}
	}
	for name, text := range b.files {
		if strings.HasSuffix(name, "grub.cfg") && strings.Contains(text, "blscfg") || strings.Contains(name, "@") {
			return false
		}
	}
	return true
}

// askGRUB makes a disk of the tree and has grub-emu run a configuration of it. It returns $root and the words of the
// first kernel that was loaded.
func (b *bootTree) askGRUB(dir, config, part string) (root string, args []string, err error) {
	disk := filepath.Join(dir, "disk")
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		return "", nil, err
	}
	if err := os.Truncate(disk, 64<<20); err != nil {
		return "", nil, err
	}
	kind := map[string]string{"gpt": "gpt", "msdos": "dos"}[b.head["table"]]
	if kind == "" {
		kind = map[bool]string{true: "gpt", false: "dos"}[b.uefi]
	}
	// A file system's UUID has its form; in the tree it may be any word.
	var uuids []string
	for i, v := range b.disk {
		if v.UUID != "" {
			uuids = append(uuids, v.UUID, fmt.Sprintf("00000000-0000-4000-8000-%012d", i+1))
		}
	}
	real := strings.NewReplacer(uuids...)
	table := "label: " + kind + "\n"
	for i, v := range b.disk {
		table += fmt.Sprintf("%d: start=%d, size=%d, type=linux\n", v.Number, (i+1)*10<<11, 8<<11)
		tree := filepath.Join(dir, strconv.Itoa(v.Number))
		if err := os.MkdirAll(tree, 0o755); err != nil {
			return "", nil, err
		}
		for name, text := range b.files {
			name, is := strings.CutPrefix(name, fmt.Sprintf("p%d/", v.Number))
			if !is {
				continue
			}
			switch {
			case strings.HasSuffix(name, ".cfg"):
				text = timeouts.ReplaceAllString(real.Replace(text), "timeout=0")
			case path.Base(name) == "grubenv":
				text = real.Replace(text)
			}
			if err := writeTree(filepath.Join(tree, name), text); err != nil {
				return "", nil, err
			}
		}
		words := []string{"-q", "-t", "ext4", "-d", tree, "-L", v.Label, "-E", fmt.Sprintf("offset=%d", (i+1)*10<<20)}
		if v.UUID != "" {
			words = append(words, "-U", real.Replace(v.UUID))
		}
		if out, err := exec.Command("mke2fs", append(words, disk, "6M")...).CombinedOutput(); err != nil {
			return "", nil, fmt.Errorf("mke2fs: %w: %s", err, out)
		}
	}
	sfdisk := exec.Command("sfdisk", "-q", "--no-reread", disk)
	sfdisk.Stdin = strings.NewReader(table)
	if out, err := sfdisk.CombinedOutput(); err != nil {
		return "", nil, fmt.Errorf("sfdisk: %w: %s", err, out)
	}
	device := "hd0," + map[string]string{"gpt": "gpt", "dos": "msdos"}[kind] + part
	platform, cpu := "pc", "i386"
	if b.uefi {
		platform, cpu = "efi", "x86_64"
	}
	script := fmt.Sprintf(judgeFunctions, platform, cpu, device, path.Dir(config), config)
	if err := writeTree(filepath.Join(dir, "home", "grub.cfg"), script); err != nil {
		return "", nil, err
	}
	if err := writeTree(filepath.Join(dir, "map"), "(hd0) "+disk+"\n"); err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "grub-emu", "-d", filepath.Join(dir, "home"), "-m", filepath.Join(dir, "map"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", nil, fmt.Errorf("grub-emu: %w: %s", err, escapes.ReplaceAllString(string(out), ""))
	}
	for line := range strings.Lines(escapes.ReplaceAllString(string(out), "")) {
		line = strings.TrimRight(line, "\n")
		if word, is := strings.CutPrefix(line, "==ARG "); is {
			args = append(args, strings.TrimRight(word, " "))
		}
		if word, is := strings.CutPrefix(line, "==ROOT "); is {
			root = strings.TrimRight(word, " ")
		}
	}
	for i, a := range args {
		for u := 0; u < len(uuids); u += 2 {
			a = strings.ReplaceAll(a, uuids[u+1], uuids[u])
		}
		args[i] = a
	}
	return root, args, nil
}

// writeTree writes a file of a tree, or a link for what begins with "->".
func writeTree(name, text string) error {
	if strings.HasSuffix(name, "/.") {
		return os.MkdirAll(name, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if to, link := strings.CutPrefix(text, "->"); link {
		return os.Symlink(to, name)
	}
	return os.WriteFile(name, []byte(text), 0o644)
}
