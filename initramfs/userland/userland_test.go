package userland

import (
	"bytes"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/ramfs"
	"github.com/google/go-cmp/cmp"
)

const module = "../.." // the folder of go.mod

func TestCommands(t *testing.T) {
	commands, err := Commands(filepath.Join(module, "initramfs", "tools.go"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, c := range commands {
		if names[path.Base(c)] {
			t.Errorf("two commands are called %s", path.Base(c))
		}
		names[path.Base(c)] = true
	}
	// What init and the archive count on, and what the node's operator is promised.
	for _, want := range strings.Fields("uinit modprobe gosh ls cat mount umount dmesg ip dhclient kexec " +
		"shutdown ps df dd ping wget lsmod insmod blkid hexdump grep more") {
		if !names[want] {
			t.Errorf("no command %s", want)
		}
	}
	if _, err := Commands("userland_test.go.absent"); err == nil {
		t.Error("no list: no error")
	}
}

func TestLayOut(t *testing.T) {
	a, err := layOut([]byte("binary"), "v1", []string{"example.com/uinit", "example.com/x/gosh", "example.com/agent"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []ramfs.Record{
		{Name: "bbin/bb", Kind: ramfs.File, Perm: 0o755},
		{Name: "bbin/gosh", Kind: ramfs.Symlink, Perm: 0o777, Target: "bb"},
		{Name: "bbin/agent", Kind: ramfs.Symlink, Perm: 0o777, Target: "bb"},
		{Name: "init", Kind: ramfs.Symlink, Perm: 0o777, Target: "bbin/uinit"},
		{Name: "bin/diskcast-agent", Kind: ramfs.Symlink, Perm: 0o777, Target: "../bbin/agent"},
		{Name: "sbin", Kind: ramfs.Dir, Perm: 0o755},
		{Name: "tmp", Kind: ramfs.Dir, Perm: 0o1777},
		{Name: "dev", Kind: ramfs.Dir, Perm: 0o755},
		{Name: "etc/diskcast/release", Kind: ramfs.File, Perm: 0o644},
		{Name: "etc/resolv.conf", Kind: ramfs.File, Perm: 0o644},
	} {
		got, ok := a.Lookup(want.Name)
		if !ok || got.Kind != want.Kind || got.Perm != want.Perm || got.Target != want.Target {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	for _, r := range a.Records() {
		if r.Kind != ramfs.File || r.Name == "bbin/bb" {
			continue
		}
		data, err := r.Data()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), "nameserver") {
			t.Errorf("%s names a server on the Internet: %s", r.Name, data)
		}
	}
	if _, err := layOut(nil, "v1", []string{"a/bb"}); err == nil {
		t.Error("a command called bb: no error")
	}
}

func TestPack(t *testing.T) {
	a, err := layOut([]byte("binary"), "v1", nil)
	if err != nil {
		t.Fatal(err)
	}
	plain, gz, err := Pack(a)
	if err != nil {
		t.Fatal(err)
	}
	back, err := ramfs.Unpack(bytes.NewReader(gz))
	if err != nil || len(back.Records()) != len(a.Records()) || !bytes.HasPrefix(plain, []byte("070701")) {
		t.Errorf("%v: %d records of %d", err, len(back.Records()), len(a.Records()))
	}
}

// Two builds in different folders are the same, stripped, run, and behave as programs of today's Go.
func TestCompileIsReproducible(t *testing.T) {
	commands := []string{"github.com/diskcast/diskcast/initramfs/modprobe", "github.com/u-root/u-root/cmds/core/echo"}
	build := func(dir string) []byte {
		root, err := filepath.Abs(module)
		if err != nil {
			t.Fatal(err)
		}
		src, err := Generate(Options{Module: root, Arch: "amd64"}, filepath.Join(dir, "src"), commands)
		if err != nil {
			t.Fatal(err)
		}
		bin := filepath.Join(dir, "bb")
		if err := src.Compile(t.Context(), bin, Stripped); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(bin)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte(dir)) || bytes.Contains(data, []byte(root)) {
			t.Error("the binary holds the path of a folder on this machine")
		}
		// Without it Go would run the program as in 1.16: the same random numbers on all nodes, old ciphers in TLS.
		if bytes.Contains(data, []byte("randautoseed=0")) || bytes.Contains(data, []byte("tls10server=1")) {
			t.Error("the binary has the defaults of an old Go")
		}
		return data
	}
	dir := t.TempDir()
	first, second := build(dir), build(filepath.Join(t.TempDir(), "other"))
	if !bytes.Equal(first, second) {
		t.Error("two builds differ")
	}
	out, err := exec.Command(filepath.Join(dir, "bb"), "echo", "hello").CombinedOutput()
	if err != nil || string(out) != "hello\n" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestDivide(t *testing.T) {
	imports := map[string][]string{"c/a": {"lib", "only"}, "c/b": {"lib"}, "only": {"deep", "lib"}, "deep": {"c/a"}}
	shares, rest := divide([]string{"c/a", "c/b"},
		map[string]int64{"c/a": 1, "c/b": 20, "lib": 300, "only": 4000, "deep": 50000, "": 600000}, imports)
	if d := cmp.Diff([]Share{{"a", 54001}, {"b", 20}}, shares); d != "" || rest != 600300 {
		t.Errorf("rest %d %s", rest, d)
	}
}

func TestSymbolPackage(t *testing.T) {
	for in, want := range map[string]string{
		"main.main": "main", "runtime.(*mheap).alloc": "runtime", "net/http.(*Client).Do": "net/http",
		"gopkg.in/yaml%2ev2.Marshal": "gopkg.in/yaml.v2", "sync/atomic.(*Pointer[example.com/x.T]).Load": "sync/atomic",
		"type:.namedata.*": "type:", "go:string.*": "go:string", "nodot": "",
	} {
		if got := symbolPackage(in); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

func TestGenerateRefuses(t *testing.T) {
	root, err := filepath.Abs(module)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Generate(Options{Module: root, Arch: "amd64"}, t.TempDir(),
		[]string{"example.com/no/such/command"}); err == nil {
		t.Error("a command that is not there: no error")
	}
	if _, err := toolchain("/nowhere"); err == nil || !slices.Contains(strings.Fields(err.Error()), "/nowhere:") {
		t.Errorf("error %v", err)
	}
}
