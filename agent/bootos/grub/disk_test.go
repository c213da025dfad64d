package grub

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// diskScripts are about the names of a disk's files and devices. T tells whether test is true, S whether a command
// succeeds. The disk has three partitions, of which the second and the third have one label, all a folder boot with a
// file flag, and two a file vmlinuz in it.
var diskScripts = []string{
	// The order of searches; each key is searched for once, for GRUB remembers.
	`search --label --set=a same; echo $a; search --file --set=a /boot/vmlinuz; echo $a; ` +
		`search --label --set=a --hint hd0,msdos2 same; echo $a`,
	`search --file --set=b --hint hd0, /boot/flag; echo $b; search --file --set=b /boot/flag; echo $b; ` +
		`search.file /boot/flag b hd0,msdos3; echo $b`,
	`search --file --set=c --hint hd0,2 /only1/a --hint hd0,1; echo $c; ` +
		`search --file --set=c --hint hd0 //boot/flag; echo $c`,
	`search --file --set=d --hint (hd0,msdos2) /boot//flag; echo $d; ` +
		`search --file --set=d --hint hd0,gpt2 --hint hd0,msdos2 /boot/./flag; echo $d`,
	`search --label --set=e first; echo $e; search --fs-uuid --set=e UUID3; echo $e`,
	// Paths of files.
	`root=hd0,msdos2; T -f boot/flag; S cat boot/flag; T -f (hd0,msdos2)boot/flag; S cat (hd0,msdos2)boot/flag; ` +
		`T -f /boot/flag/; T -d /boot/flag; T -e /boot/`,
	`T -e boot; T -d boot/; T -e vmlinuz; T -d (hd0,msdos2)boot; T -d (hd0,msdos2); T -d (hd0,msdos2)/; T -e ""; ` +
		`T -d /; T -s /boot/flag; T -e //boot//flag`,
	`T -e /boot/../boot/flag; T -e /none/../boot; T -e /boot/flag/x; T -e /boot/flag/../flag; T -e /boot/.; ` +
		`T -e "(hd0,msdos2"; T -e ()/boot; T -e (); T -e +1`,
	`S cat; S cat /boot; S cat /none; S cat --nosuch /boot/flag; S load_env -f boot/flag; S list_env -f /none; ` +
		`S source boot/flag; S configfile boot/flag`,
	// Symbolic links: to nothing, a file, a folder.
	`T -e /links/gone; T -f /links/gone; T -d /links/gone; T -s /links/gone; T -e /links/file; T -f /links/file; ` +
		`T -d /links/file; T -s /links/file`,
	`T -e /links/dir; T -f /links/dir; T -d /links/dir; T -d /links/dir/; T -s /links/dir; T -f /links/dir/flag; ` +
		`T -d /links/dir/.`,
	`for x in /link*/gone /link*/dir /link*/none /links/go* /links/di*/flag /links/di*/; do echo $x; done; ` +
		`S cat /links/gone; S source /links/file; S source /links/dir/flag`,
	// Names of devices.
	`T -e (hd0,2)/boot; T -e (hd0,02)/boot; T -e (hd0,0x2)/boot; T -e "(hd0, 2)/boot"; T -e (hd0,gpt2)/boot; ` +
		`S cat (hd0,gpt2)/boot/flag; S source (hd0,gpt2)/boot/flag`,
	`for x in (hd0,gpt2)/boot/vml*; do echo $x; done; for x in ()/boot/vml*; do echo $x; done; ` +
		`for x in (hd0,msdos2)boot/vml*; do echo $x; done`,
	`for x in boot/vml*; do echo $x; done; for x in /boot/../boot/f*; do echo $x; done; for x in //boot//vml*; ` +
		`do echo $x; done; for x in /boot/vml*/; do echo $x; done`,
	`root=(hd0,msdos3); echo $root; T -f /boot/vmlinuz; unset root; T -f /boot/vmlinuz; S cat /boot/vmlinuz; ` +
		`S source /boot/vmlinuz; root=hd0,gpt2; T -d /boot`,
	`set prefix=(hd0,msdos1); T -f $prefix/boot/flag; S load_env; S list_env; set prefix=; S load_env`,
}

const diskFunctions = `set pager=0
set root=hd0,msdos1
function T { if [ $@ ]; then echo "<$@> t"; else echo "<$@> f"; fi; }
function S { if $@; then echo "<$@> t"; else echo "<$@> f"; fi; }
`

// treeFiles are partitions of which each is a folder of its number.
type treeFiles struct {
	fakeFiles
	dir string
}

func (f *treeFiles) at(dev int, name string) string { return fmt.Sprintf("%s/%d/%s", f.dir, dev, name) }

func (f *treeFiles) ReadFile(dev int, name string, _ int64) ([]byte, error) {
	return os.ReadFile(f.at(dev, name))
}

func (f *treeFiles) Exists(dev int, name string, dir bool) bool {
	fi, err := os.Stat(f.at(dev, strings.TrimRight(name, "/")))
	return err == nil && fi.IsDir() == dir
}

func (f *treeFiles) TooLinked(int, string) bool { return false }

func (f *treeFiles) Listed(dev int, name string) (dir, is bool) {
	fi, err := os.Lstat(f.at(dev, strings.TrimRight(name, "/")))
	return err == nil && fi.IsDir(), err == nil
}

func (f *treeFiles) List(dev int, name string) ([]string, error) {
	entries, err := os.ReadDir(f.at(dev, name))
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

// TestDiskLikeGRUB has GRUB and us look at the same disk.
func TestDiskLikeGRUB(t *testing.T) {
	need.Tools(t, "grub-emu", "sfdisk", "mke2fs")
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk")
	files := &treeFiles{dir: dir,
		fakeFiles: fakeFiles{files: map[string]string{}, labels: map[int]string{1: "first", 2: "same", 3: "same"},
			uuids: map[string]int{}}}
	for _, f := range []string{"1:/boot/flag", "2:/boot/flag", "3:/boot/flag", "2:/boot/vmlinuz", "3:/boot/vmlinuz",
		"1:/only1/a"} {
		files.files[f] = "\n"
	}
	if err := errors.Join(os.WriteFile(disk, nil, 0o600), os.Truncate(disk, 32<<20)); err != nil {
		t.Fatal(err)
	}
	table := "label: dos\n"
	for n := 1; n <= 3; n++ {
		uuid := fmt.Sprintf("11111111-2222-3333-4444-55555555555%d", n)
		files.uuids[uuid] = n
		tree := filepath.Join(dir, fmt.Sprint(n))
		for f, content := range files.files {
			if name, is := strings.CutPrefix(f, fmt.Sprintf("%d:", n)); is {
				name = filepath.Join(tree, name)
				if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755),
					os.WriteFile(name, []byte(content), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
		}
		links := filepath.Join(tree, "links")
		if err := errors.Join(os.Mkdir(links, 0o755), os.Symlink("none", filepath.Join(links, "gone")),
			os.Symlink("../boot/flag", filepath.Join(links, "file")),
			os.Symlink("../boot", filepath.Join(links, "dir"))); err != nil {
			t.Fatal(err)
		}
		volumetest.Run(t, "mke2fs", "-q", "-t", "ext4", "-L", files.labels[n], "-U", uuid, "-d", tree, "-E",
			fmt.Sprintf("offset=%d", n*8<<20), disk, "6M")
		table += fmt.Sprintf("start=%d, size=%d, type=83\n", n*8<<11, 6<<11)
	}
	if err := os.WriteFile(filepath.Join(dir, "table"), []byte(table), 0o600); err != nil {
		t.Fatal(err)
	}
	volumetest.Run(t, "sh", "-c", fmt.Sprintf("sfdisk -q --no-reread %s < %s/table", disk, dir))
	if err := os.WriteFile(filepath.Join(dir, "map"), []byte("(hd0) "+disk+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString(diskFunctions)
	for i, script := range diskScripts {
		fmt.Fprintf(&b, "echo '== %d'\n%s\n", i,
			strings.ReplaceAll(script, "UUID3", "11111111-2222-3333-4444-555555555553"))
	}
	want := sections(emu(t, dir, b.String()+"exit\n", "-m", filepath.Join(dir, "map")))
	if err := os.WriteFile(filepath.Join(dir, "1", "g"), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	lines, err := echoes(files, Options{Device: 1, Path: "/g", Table: "msdos"})
	if !errors.Is(err, ErrEmpty) {
		t.Fatal(err)
	}
	got := sections(lines)
	for i, script := range diskScripts {
		at := fmt.Sprintf("== %d", i)
		if diff := cmp.Diff(want[at], got[at]); diff != "" || len(want[at]) == 0 {
			t.Errorf("%s\n-GRUB +ours\n%s", script, diff)
		}
	}
}
