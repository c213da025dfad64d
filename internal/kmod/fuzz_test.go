package kmod

import (
	"bytes"
	"testing"
	"testing/fstest"

	"github.com/diskcast/diskcast/internal/kmod/kmodtest"
)

func FuzzReadInfo(f *testing.F) {
	f.Add(kmodtest.Module("name=x", "depends=a,b", "alias=pci:*", "softdep=pre: a post: b"))
	f.Add([]byte("\x7fELF"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = ReadInfo(bytes.NewReader(data))
	})
}

// Whatever the files of a module folder hold, reading them ends, and what was read can be asked, written and read
// again.
func FuzzLoad(f *testing.F) {
	f.Add([]byte("kernel/a.ko: kernel/b.ko\nkernel/b.ko:\n"), []byte("alias pci:v[0-9]* a\n"),
		[]byte("softdep a pre: b post: a\n"), []byte("kernel/c.ko\n"))
	f.Add([]byte("a.ko: b.ko\nb.ko: a.ko\n"), []byte("#\n"), []byte("softdep b pre: a\n"), []byte(""))
	f.Fuzz(func(t *testing.T, dep, alias, softdep, builtin []byte) {
		x, err := Load(fstest.MapFS{"modules.dep": {Data: dep}, "modules.alias": {Data: alias},
			"modules.softdep": {Data: softdep}, "modules.builtin": {Data: builtin}})
		if err != nil {
			return
		}
		for _, m := range x.Modules() {
			_, _ = x.Order(m.Name, true)
		}
		x.Resolve("pci:v1d2")
		files, err := x.Files()
		if err != nil {
			return
		}
		again := fstest.MapFS{}
		for name, data := range files {
			again[name] = &fstest.MapFile{Data: data}
		}
		if _, err := Load(again); err != nil {
			t.Fatalf("written, but not read again: %v", err)
		}
	})
}
