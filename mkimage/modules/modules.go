// Package modules chooses the kernel modules and the firmware that go into a node's archive.
package modules

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/kmod"
	"github.com/diskcast/diskcast/internal/nearest"
	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"
	"golang.org/x/sync/errgroup"
)

// Tree is all modules of a kernel.
type Tree struct {
	Index *kmod.Index
	Notes []string // what of the folders was not taken, in words
	dirs  []fs.FS
}

// maxModule bounds one module, in bytes and not compressed. The largest of Debian's, amdgpu, has 20 MB.
const maxModule = 256 << 20

// Scan reads what the modules in the folders of a kernel release say of themselves.
func Scan(dirs []fs.FS) (*Tree, error) {
	t := &Tree{dirs: dirs}
	var (
		found   []kmod.Module
		builtin []string
		odd     []string
	)
	for _, dir := range dirs {
		list, others, err := scanDir(dir)
		if err != nil {
			return nil, err
		}
		found, odd = append(found, list...), append(odd, others...)
		names, err := readBuiltin(dir)
		if err != nil {
			return nil, err
		}
		builtin = append(builtin, names...)
	}
	if len(odd) > 0 {
		t.Notes = append(t.Notes, fmt.Sprintf("%s left out: no file, or a link that leads to none in the folder of "+
			"the modules", few(odd)))
	}
	found, over := preferred(found)
	if len(over) > 0 {
		t.Notes = append(t.Notes, fmt.Sprintf("%s taken, and not the module of the same name in another folder, as "+
			"depmod does", few(over)))
	}
	index, err := kmod.NewIndex(found, builtin)
	if err != nil {
		return nil, fmt.Errorf("%w: leave one of them out of the folder, or of --modules-from", err)
	}
	t.Index = index
	return t, nil
}

// few names some of a list.
func few(list []string) string {
	verb := " is"
	if len(list) > 1 {
		verb = " are"
	}
	if len(list) > 4 {
		return fmt.Sprintf("%s and %d others%s", strings.Join(list[:4], ", "), len(list)-4, verb)
	}
	return strings.Join(list, ", ") + verb
}

func readBuiltin(dir fs.FS) ([]string, error) {
	f, err := dir.Open("modules.builtin")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return kmod.ReadBuiltin(f)
}

// scanDir reads the modules of a folder, and names what is called like one and is no file.
func scanDir(dir fs.FS) (_ []kmod.Module, odd []string, _ error) {
	var paths []string
	err := fs.WalkDir(dir, ".", func(name string, d fs.DirEntry, err error) error {
		if _, ok := kmod.FileName(name); !ok || err != nil || d.IsDir() {
			return err
		}
		// In RHEL's weak-updates are links to the modules of other kernels.
		if st, err := fs.Stat(dir, name); err != nil || !st.Mode().IsRegular() {
			odd = append(odd, name)
			return nil
		}
		paths = append(paths, name)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	list := make([]kmod.Module, len(paths))
	var g errgroup.Group
	g.SetLimit(runtime.NumCPU())
	for i, name := range paths {
		g.Go(func() error {
			data, err := read(dir, name)
			if err != nil {
				return err
			}
			info, err := kmod.ReadInfo(bytes.NewReader(data))
			if err != nil {
				return fmt.Errorf("module %s: %w", name, err)
			}
			// Before Linux 4.13 modules did not say their name.
			if info.Name == "" {
				info.Name, _ = kmod.FileName(name)
			}
			list[i] = kmod.Module{Path: name, Info: info}
			return nil
		})
	}
	return list, odd, g.Wait()
}

// Read returns a module's content, decompressed, and the path under which a node finds it.
func (t *Tree) Read(m *kmod.Module) (name string, data []byte, err error) {
	for _, dir := range t.dirs {
		data, err = read(dir, m.Path)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return Plain(m.Path), data, err
}

// Plain is the path of a module without the suffix of its compression.
func Plain(name string) string {
	switch path.Ext(name) {
	case ".xz", ".zst", ".gz":
		return strings.TrimSuffix(name, path.Ext(name))
	}
	return name
}

// read reads a file and decompresses it by the suffix of its name.
func read(dir fs.FS, name string) ([]byte, error) {
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, done, err := plainReader(f, name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	defer done()
	data, err := io.ReadAll(io.LimitReader(r, maxModule+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(data) > maxModule {
		return nil, fmt.Errorf("%s: more than %d bytes", name, maxModule)
	}
	return data, nil
}

func plainReader(r io.Reader, name string) (io.Reader, func(), error) {
	nothing := func() {}
	switch path.Ext(name) {
	case ".xz":
		z, err := xz.NewReader(r, 64<<20)
		return z, nothing, err
	case ".zst":
		z, err := zstd.NewReader(r, zstd.WithDecoderMaxMemory(256<<20), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, nothing, err
		}
		return z, z.Close, nil
	case ".gz":
		z, err := gzip.NewReader(r)
		return z, nothing, err
	}
	return r, nothing, nil
}

// Choose returns the modules of a selection with everything that they need, sorted by path. Words of the selection are
// groups (see [Groups]), names of modules, or aliases.
func (t *Tree) Choose(selection []string) ([]*kmod.Module, error) {
	chosen := map[*kmod.Module]bool{}
	add := func(m *kmod.Module) error {
		order, err := t.Index.Order(m.Name, true)
		for _, o := range order {
			chosen[o] = true
		}
		return err
	}
	var unknown []string
	for _, word := range selection {
		list, err := t.Expand(word)
		if err != nil {
			unknown = append(unknown, err.Error())
			continue
		}
		for _, m := range list {
			if err := add(m); err != nil {
				return nil, err
			}
		}
	}
	if len(unknown) > 0 {
		return nil, errors.New(strings.Join(unknown, "; "))
	}
	return slices.DeleteFunc(t.Index.Modules(), func(m *kmod.Module) bool { return !chosen[m] }), nil
}

// Expand finds the modules that a word means. It cannot be told before a package is unpacked that there are none: names
// that are built in stand in one of its files, and aliases in the modules themselves.
func (t *Tree) Expand(word string) ([]*kmod.Module, error) {
	if g, ok := groups[word]; ok {
		return slices.DeleteFunc(t.Index.Modules(), func(m *kmod.Module) bool { return !g.holds(m) }), nil
	}
	if list := t.Index.Resolve(word); len(list) > 0 {
		return list, nil
	}
	if t.Index.Builtin(word) {
		return nil, nil
	}
	known := append([]string{"default"}, GroupNames()...)
	text := fmt.Sprintf("%q is neither a group (%s) nor a module of this kernel", word, strings.Join(known, ", "))
	for _, m := range t.Index.Modules() {
		known = append(known, m.Name)
	}
	return nil, errors.New(text + nearest.Hint(word, known))
}
