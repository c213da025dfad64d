package modules_test

import (
	"bufio"
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/kmod"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/mkimage/kernel"
	"github.com/diskcast/diskcast/mkimage/modules"
	"github.com/google/go-cmp/cmp"
)

// depmod is the judge of the index: it finds dependencies by the symbols that modules use, we by what they say of
// themselves. The kernel is a real one, a Debian package named by DISKCAST_KERNEL_DEB.
func TestDepmod(t *testing.T) {
	switch deb, set := os.LookupEnv("DISKCAST_KERNEL_DEB"); {
	case !set:
		t.Skip("DISKCAST_KERNEL_DEB does not name a Debian kernel package")
	case deb == "": // make test, where .ci/kernel-deb found none
		need.Skip(t, "no Debian kernel package could be fetched")
	}
	tool := need.Tool(t, "depmod")
	k, err := kernel.Open(kernel.Options{Kernel: os.Getenv("DISKCAST_KERNEL_DEB")})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	base := t.TempDir()
	dir := filepath.Join(base, "lib/modules", k.Release)
	if err := os.CopyFS(dir, k.Modules[0]); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(tool, "-b", base, k.Release).CombinedOutput(); err != nil {
		t.Fatalf("depmod: %v: %s", err, out)
	}
	tree, err := modules.Scan([]fs.FS{os.DirFS(dir)})
	if err != nil {
		t.Fatal(err)
	}
	files, err := tree.Index.Files()
	if err != nil {
		t.Fatal(err)
	}
	// depmod orders dependencies differently, and both orders are right.
	sortedDeps := func(line string) []string {
		head, deps, _ := strings.Cut(line, ":")
		list := strings.Fields(deps)
		slices.Sort(list)
		return []string{head + ": " + strings.Join(list, " ")}
	}
	// depmod leaves - and _ as the module has them; whoever reads its files takes them for the same.
	underscores := func(line string) []string { return []string{kmod.Name(line)} }
	for name, normal := range map[string]func(string) []string{"modules.dep": sortedDeps, "modules.alias": underscores,
		"modules.softdep": eachSoft} {
		theirs, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		want, got := lines(theirs, normal), lines(files[name], normal)
		if len(want) < 10 {
			t.Errorf("%s: depmod wrote only %d lines", name, len(want))
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %.2000s", name, d)
		}
	}
}

// eachSoft splits a line: depmod writes one for each wish, and copies those without pre: or post:, which mean nothing.
func eachSoft(line string) []string {
	var list []string
	kind := ""
	for i, word := range strings.Fields(kmod.Name(line)) {
		switch {
		case i < 2:
		case word == "pre:" || word == "post:":
			kind = word
		case kind != "":
			list = append(list, strings.Fields(line)[1]+" "+kind+" "+word)
		}
	}
	return list
}

func lines(text []byte, normal func(string) []string) []string {
	var list []string
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		if !strings.HasPrefix(s.Text(), "#") {
			list = append(list, normal(s.Text())...)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}
