package bootos

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/diskcast/diskcast/agent/bootos/efi/efitest"
	"github.com/diskcast/diskcast/agent/bootos/grub"
	"github.com/diskcast/diskcast/agent/treetest"
	"github.com/diskcast/diskcast/internal/testenv/need"
)

// TestBootTrees runs every tree of testdata/trees: a disk's boot files as text, and what the machine's own loader would
// do with them. The head of an archive has these lines; other lines are remarks:
//
//	rule: what decides, in one sentence
//	firmware: bios | uefi
//	want: kernel=p2/boot/vmlinuz initrd=p2/boot/a initrd=p2/boot/b args="root=/dev/sda1 ro"
//	want: restart WORDS OF THE REASON      (a *grub.Restart: the choice is known, and only firmware and loader can
//	                                       carry it out)
//	want: refuse WORDS OF THE REASON       (any other error)
//
//	opened: UUID pN        (the site gave a passphrase, which opened the encrypted volume on partition N; a reason
//	                       behind that is why it did not)
//	skipped: partition 3: zfs_member ...   (what Mount would say of what is not read)
//	holds: LAYER, unseen: pN               (see Volumes)
//	emu: REASON                            (why grub-emu is not asked, see TestBootTreesGRUB)
//
// "pN/PATH" is a file on partition N; "p0" is a disk without a partition table. Four names are special:
//
//	disk                one line a file system:
//	                    p1 fs=vfat uuid=AAAA-0001 label=EFI type=esp default=/@/.snapshots/1/snapshot
//	                    p-1 fs=ext4 uuid=1111 grub=lvm/vg-root,lvmid/a/b (a logical volume, with GRUB's names of it)
//	                    p-2 fs=ext4 uuid=2222 grub=cryptouuid/abcd crypt=abcd (what is in an encrypted volume)
//	empty               names of files whose content does not matter, one a line: kernels, initrds
//	links               symbolic links, one a line: p1/vmlinuz -> boot/vmlinuz-6.1
//	pN@SECTOR           what is in a partition from that sector on, for block lists
func TestBootTrees(t *testing.T) {
	for _, tree := range readTrees(t) {
		t.Run(tree.name, func(t *testing.T) {
			got, err := Find(tree.volumes(t), tree.firmware(t))
			switch {
			case tree.wantErr != "":
				var restart *grub.Restart
				if err == nil || !strings.Contains(err.Error(), tree.wantErr) ||
					errors.As(err, &restart) != tree.restart {
					t.Errorf("rule: %s\ngot  %v, %v\nwant %s", tree.rule, got, err, tree.want)
				}
			case err != nil:
				t.Errorf("rule: %s\ngot  %v\nwant %s", tree.rule, err, tree.want)
			case wantLine(got) != tree.want:
				t.Errorf("rule: %s\ngot  %s\nwant %s", tree.rule, wantLine(got), tree.want)
			}
		})
	}
}

// TestBootTreesSyntax has GRUB's own parser read each grub.cfg, unless the tree says "syntax: wrong".
func TestBootTreesSyntax(t *testing.T) {
	check := need.Tool(t, "grub-script-check")
	for _, tree := range readTrees(t) {
		for name, content := range tree.files {
			if filepath.Base(name) != "grub.cfg" || tree.head["syntax"] == "wrong" {
				continue
			}
			cmd := exec.Command(check)
			cmd.Stdin = strings.NewReader(content)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %s: %v: %s", tree.name, name, err, out)
			}
		}
	}
}

// bootTree is one archive of testdata/trees.
type bootTree struct {
	name       string
	rule, want string
	wantErr    string // what the error must say, empty when a system is wanted
	restart    bool
	uefi       bool
	head       map[string]string
	files      map[string]string // as treetest.Make takes them, "pN/" in front
	disk       []Volume          // without Dir
}

func readTrees(t *testing.T) []bootTree {
	t.Helper()
	names, err := filepath.Glob("testdata/trees/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("%d trees, %v", len(names), err)
	}
	var out []bootTree
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err == nil {
			var tree bootTree
			if tree, err = readTree(txtar.Parse(b)); err == nil {
				tree.name = strings.TrimSuffix(filepath.Base(name), ".txtar")
				out = append(out, tree)
				continue
			}
		}
		t.Fatalf("%s: %v", name, err)
	}
	return out
}

func readTree(a *txtar.Archive) (bootTree, error) {
	tree := bootTree{head: map[string]string{}, files: map[string]string{}}
	for line := range strings.Lines(string(a.Comment)) {
		if k, v, ok := strings.Cut(line, ": "); ok && !strings.Contains(k, " ") {
			tree.head[k] = strings.TrimSpace(v)
		}
	}
	tree.rule, tree.want = tree.head["rule"], tree.head["want"]
	tree.uefi = tree.head["firmware"] == "uefi"
	if tree.rule == "" || tree.want == "" || !tree.uefi && tree.head["firmware"] != "bios" {
		return tree, errors.New("it needs the lines rule, firmware and want")
	}
	kind, words, _ := strings.Cut(tree.want, " ")
	switch {
	case kind == "restart" || kind == "refuse":
		tree.restart, tree.wantErr = kind == "restart", words
		if words == "" {
			return tree, errors.New("restart and refuse need words of the reason")
		}
	case !strings.HasPrefix(kind, "kernel="):
		return tree, fmt.Errorf("want: %q", tree.want)
	}
	for _, f := range a.Files {
		text := string(f.Data)
		switch f.Name {
		case "disk":
			for line := range strings.Lines(text) {
				v, err := diskLine(line)
				if err != nil {
					return tree, err
				}
				tree.disk = append(tree.disk, v)
			}
		case "empty":
			for _, name := range strings.Fields(text) {
				tree.files[name] = "x"
			}
		case "links":
			for line := range strings.Lines(text) {
				name, to, ok := strings.Cut(strings.TrimSpace(line), " -> ")
				if !ok {
					return tree, fmt.Errorf("links: %q", line)
				}
				tree.files[name] = "->" + to
			}
		default:
			if name, ok := strings.CutPrefix(f.Name, "pe "); ok {
				program, err := peFile(text)
				if err != nil {
					return tree, err
				}
				tree.files[name] = program
				continue
			}
			if name, ok := strings.CutPrefix(f.Name, "wide "); ok {
				tree.files[name] = string(efitest.Wide(text))
				continue
			}
			tree.files[f.Name] = text
		}
	}
	for name := range tree.files {
		part, _, _ := strings.Cut(strings.Replace(name, "@", "/", 1), "/")
		if !slices.ContainsFunc(tree.disk, func(v Volume) bool { return part == "p"+strconv.Itoa(v.Number) }) {
			return tree, fmt.Errorf("%s is on no file system of the file disk", name)
		}
	}
	return tree, nil
}

// diskLine reads "p1 fs=vfat uuid=AAAA-0001 label=EFI".
func diskLine(line string) (v Volume, err error) {
	words := strings.Fields(line)
	if len(words) == 0 {
		return v, errors.New("disk: an empty line")
	}
	if v.Number, err = strconv.Atoi(strings.TrimPrefix(words[0], "p")); err != nil {
		return v, fmt.Errorf("disk: %q", line)
	}
	v.PartUUID = "uuid-of-" + words[0]
	for _, w := range words[1:] {
		switch k, value, _ := strings.Cut(w, "="); k {
		case "fs":
			v.Type = value
		case "uuid":
			v.UUID = value
		case "label":
			v.Label = value
		case "default":
			v.Default = value
		case "grub":
			v.GRUB = strings.Split(value, ",")
		case "crypt":
			v.Crypt = value
		case "type":
			v.PartType = map[string]string{"esp": espType, "xbootldr": xbootldr, "linux": "linux"}[value]
		default:
			return v, fmt.Errorf("disk: %q is not known", k)
		}
	}
	return v, nil
}

// volumes makes the tree's file systems of directories.
func (b *bootTree) volumes(t *testing.T) *Volumes {
	t.Helper()
	var vols []Volume
	for _, v := range b.disk {
		files := map[string]string{}
		for name, content := range b.files {
			if rest, ok := strings.CutPrefix(name, fmt.Sprintf("p%d/", v.Number)); ok {
				files[rest] = content
			}
		}
		v.Dir = treetest.Make(t, files)
		v.Device = b.device(t, v.Number)
		vols = append(vols, v)
	}
	v := NewVolumes(vols...)
	for _, part := range strings.Fields(b.head["unseen"]) {
		n, err := strconv.Atoi(strings.TrimPrefix(part, "p"))
		if err != nil {
			t.Fatalf("unseen: %q", part)
		}
		v.unseen[n] = true
	}
	if l := b.head["holds"]; l != "" {
		v.layers[grub.Layer(l)] = true
	}
	if words := b.head["skipped"]; words != "" {
		v.Skipped = []string{words}
	}
	if words := strings.Fields(b.head["opened"]); len(words) > 0 {
		n, err := strconv.Atoi(strings.TrimPrefix(words[1], "p"))
		if err != nil {
			t.Fatalf("opened: %q", words)
		}
		v.encrypted = []grub.Encrypted{{UUID: words[0], Device: n, Why: strings.Join(words[2:], " ")}}
		v.layers[grub.Crypto] = true
	}
	return v
}

// device makes a sparse file that stands for a partition, when the tree says what is in its sectors.
func (b *bootTree) device(t *testing.T, number int) string {
	t.Helper()
	for name, content := range b.files {
		sector, is := strings.CutPrefix(name, fmt.Sprintf("p%d@", number))
		if !is {
			continue
		}
		n, err := strconv.ParseInt(sector, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "device")
		disk := append(make([]byte, n*512), content...)
		if err := os.WriteFile(path, append(disk, make([]byte, 4096)...), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return ""
}

// wantLine writes a system as the head of a tree does.
func wantLine(s *System) string {
	at := func(f grub.File) string { return fmt.Sprintf("p%d%s", f.Device, f.Path) }
	line := "kernel=" + at(s.Kernel)
	for _, i := range s.Initrds {
		line += " initrd=" + at(i)
	}
	return line + " args=" + strconv.Quote(s.Args)
}
