package kmod

import (
	"bytes"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/diskcast/diskcast/internal/kmod/kmodtest"
	"github.com/google/go-cmp/cmp"
)

func TestName(t *testing.T) {
	for in, want := range map[string]string{
		"nls_iso8859-1":     "nls_iso8859_1",
		"usb:v[0-9]-x":      "usb:v[0-9]_x",
		"a]-b":              "a]_b",
		"crc32c_intel":      "crc32c_intel",
		"pci:v*[12-4][a-c]": "pci:v*[12-4][a-c]",
	} {
		if got := Name(in); got != want {
			t.Errorf("Name(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestFileName(t *testing.T) {
	for in, want := range map[string]string{
		"kernel/fs/nls/nls_iso8859-1.ko": "nls_iso8859_1",
		"a.ko.xz":                        "a", "a.ko.zst": "a", "a.ko.gz": "a",
		"a.ko.lz4": "", "modules.dep": "", ".ko": "", "x/a.ko/b": "",
	} {
		if got, ok := FileName(in); got != want || ok != (want != "") {
			t.Errorf("FileName(%q) = %q, %v, want %q", in, got, ok, want)
		}
	}
}

func TestReadInfo(t *testing.T) {
	got, err := ReadInfo(bytes.NewReader(kmodtest.Module(
		"name=virtio-net", "depends=virtio,,net-failover", "alias=virtio:d00000001v*", "alias=with space",
		"firmware=a/b.bin",
		"softdep=pre: crc32c x post: y-z", "softdep=nonsense", "license=GPL", "noequals", "empty=")))
	if err != nil {
		t.Fatal(err)
	}
	want := Info{Name: "virtio_net", Depends: []string{"virtio", "net_failover"},
		Aliases:  []string{"virtio:d00000001v*"},
		Firmware: []string{"a/b.bin"}, SoftPre: []string{"crc32c", "x"}, SoftPost: []string{"y_z"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for name, data := range map[string][]byte{"empty": nil, "text": []byte("hello"),
		"cut": kmodtest.Module("name=x")[:70]} {
		if _, err := ReadInfo(bytes.NewReader(data)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// testIndex has hard and soft dependencies, a circle of soft ones, and a built-in module.
func testIndex(t *testing.T) *Index {
	t.Helper()
	m := func(path string, i Info) Module { return Module{Path: "kernel/" + path, Info: i} }
	x, err := NewIndex([]Module{
		m("fs/ext4.ko", Info{Name: "ext4", Depends: []string{"jbd2", "mbcache"}, Aliases: []string{"fs-ext4"},
			SoftPre: []string{"crc32c"}}),
		m("fs/jbd2.ko", Info{Name: "jbd2"}),
		m("crypto/crc-generic.ko", Info{Name: "crc_generic", Aliases: []string{"crc32c"}}),
		m("arch/crc_intel.ko", Info{Name: "crc_intel", Aliases: []string{"crc32c"},
			SoftPost: []string{"ext4", "nothere"}}),
		m("net/broken.ko", Info{Name: "broken", Depends: []string{"missing"}, Aliases: []string{"pci:v01*", "crc32c"}}),
		m("net/nic.ko", Info{Name: "nic", Aliases: []string{"pci:v0[1-2]d*"}}),
		m("net/usb/cdc_ether.ko", Info{Name: "cdc_ether"}),
		m("net/usb/cdc_subset.ko", Info{Name: "cdc_subset"}),
	}, []string{"mbcache"})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func names(list []*Module) string {
	var s []string
	for _, m := range list {
		s = append(s, m.Name)
	}
	return strings.Join(s, " ")
}

func TestResolve(t *testing.T) {
	x := testIndex(t)
	for in, want := range map[string]string{
		"ext4": "ext4", "fs-ext4": "ext4", "crc-generic": "crc_generic", "crc32c": "broken crc_generic crc_intel",
		"pci:v02d7": "nic", "pci:v01d7": "broken nic", "pci:v03d7": "", "": "",
	} {
		if got := names(x.Resolve(in)); got != want {
			t.Errorf("Resolve(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestOrder(t *testing.T) {
	x := testIndex(t)
	for _, c := range []struct {
		module string
		soft   bool
		want   string
		err    string
	}{
		{"ext4", false, "jbd2 ext4", ""},
		{"ext4", true, "jbd2 crc_generic crc_intel ext4", ""},
		{"crc_intel", true, "crc_intel jbd2 crc_generic ext4", ""},
		{"cdc_subset", true, "cdc_ether cdc_subset", ""}, // nobody says so, and the wrong address is the price
		{"cdc_subset", false, "cdc_subset", ""},
		{"broken", true, "", "broken needs missing"},
		{"absent", false, "", "absent is not there"},
	} {
		got, err := x.Order(c.module, c.soft)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error %v, want %q", c.module, err, c.err)
			}
			continue
		}
		if err != nil || names(got) != c.want {
			t.Errorf("%s, soft %v: %q, %v, want %q", c.module, c.soft, names(got), err, c.want)
		}
	}
}

func TestNewIndexRefuses(t *testing.T) {
	twice := Module{Path: "a/x.ko", Info: Info{Name: "x"}}
	for name, list := range map[string][]Module{"the same name twice": {twice, {Path: "b/x.ko", Info: Info{Name: "x"}}},
		"no name": {{Path: "x.ko"}}} {
		if _, err := NewIndex(list, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// What is written is read again, and gives the same answers.
func TestFilesAndLoad(t *testing.T) {
	x, err := NewIndex([]Module{
		{Path: "kernel/a-b.ko", Info: Info{Name: "a_b", Depends: []string{"c"}, Aliases: []string{"pci:v*", "fs-a"},
			SoftPre: []string{"c"}, SoftPost: []string{"d"}}},
		{Path: "kernel/c.ko", Info: Info{Name: "c", Depends: []string{"d", "inside"}}},
		{Path: "kernel/d.ko", Info: Info{Name: "d"}},
	}, []string{"inside"})
	if err != nil {
		t.Fatal(err)
	}
	files, err := x.Files()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"modules.dep":     "kernel/a-b.ko: kernel/c.ko kernel/d.ko\nkernel/c.ko: kernel/d.ko\nkernel/d.ko:\n",
		"modules.alias":   "# Aliases extracted from modules themselves.\nalias fs_a a_b\nalias pci:v* a_b\n",
		"modules.softdep": "# Soft dependencies extracted from modules themselves.\nsoftdep a_b pre: c post: d\n",
		"modules.builtin": "kernel/inside.ko\n",
	}
	dir := fstest.MapFS{}
	got := map[string]string{}
	for name, data := range files {
		got[name] = string(data)
		dir[name] = &fstest.MapFile{Data: data}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	y, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a_b", "fs-a", "pci:v7", "c", "nothing"} {
		if names(x.Resolve(name)) != names(y.Resolve(name)) {
			t.Errorf("%s: %q became %q", name, names(x.Resolve(name)), names(y.Resolve(name)))
		}
	}
	before, _ := x.Order("a_b", true)
	after, err := y.Order("a_b", true)
	if err != nil || names(before) != names(after) || !y.Builtin("inside") {
		t.Errorf("order %q became %q, %v", names(before), names(after), err)
	}
}

func TestLoadRefuses(t *testing.T) {
	for name, c := range map[string]struct{ file, text, want string }{
		"no dep":         {"modules.alias", "", "modules.dep"},
		"not a module":   {"modules.dep", "kernel/x.txt: a.ko", "line 1"},
		"no colon":       {"modules.dep", "\n\nkernel/x.ko", "line 3"},
		"bad dependency": {"modules.dep", "kernel/x.ko: y", `"y" is not a module`},
	} {
		_, err := Load(fstest.MapFS{c.file: {Data: []byte(c.text)}})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
	for file, text := range map[string]string{"modules.alias": "alias onlytwo", "modules.softdep": "soft x",
		"modules.builtin": "x"} {
		_, err := Load(fstest.MapFS{"modules.dep": {}, file: {Data: []byte(text)}})
		if err == nil || !strings.Contains(err.Error(), file+": line 1") {
			t.Errorf("%s: error %v", file, err)
		}
	}
}
