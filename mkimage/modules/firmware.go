package modules

import (
	"errors"
	"io/fs"
	"path"
	"slices"

	"github.com/diskcast/diskcast/internal/kmod"
)

// Blob is one file of firmware.
type Blob struct {
	Name string // below /lib/firmware
	Data []byte
}

// Firmware finds the files that the modules may ask for in folders of firmware. What is compressed there is not in the
// result: whether a kernel can decompress firmware is a matter of its configuration. missing are the modules of which
// no file was found.
func Firmware(dirs []fs.FS, list []*kmod.Module) (blobs []Blob, missing []string, err error) {
	seen := map[string]bool{}
	for _, m := range list {
		found := len(m.Firmware) == 0
		for _, pattern := range m.Firmware {
			names, err := match(dirs, pattern)
			if err != nil {
				return nil, nil, err
			}
			for _, name := range names {
				found = true
				if seen[name] {
					continue
				}
				seen[name] = true
				data, err := readBlob(dirs, name)
				if err != nil {
					return nil, nil, err
				}
				blobs = append(blobs, Blob{name, data})
			}
		}
		if !found {
			missing = append(missing, m.Name)
		}
	}
	slices.SortFunc(blobs, func(a, b Blob) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return blobs, missing, nil
}

var compressions = []string{"", ".xz", ".zst"}

// match lists the files, named without compression, that a module's wish stands for. Newer modules wish with patterns.
func match(dirs []fs.FS, pattern string) ([]string, error) {
	if !fs.ValidPath(pattern) {
		return nil, nil
	}
	var names []string
	for _, dir := range dirs {
		for _, suffix := range compressions {
			found, err := fs.Glob(dir, pattern+suffix)
			if errors.Is(err, path.ErrBadPattern) {
				continue
			}
			if err != nil {
				return nil, err
			}
			for _, f := range found {
				if st, err := fs.Stat(dir, f); err == nil && st.Mode().IsRegular() {
					names = append(names, f[:len(f)-len(suffix)])
				}
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

func readBlob(dirs []fs.FS, name string) ([]byte, error) {
	var last error
	for _, dir := range dirs {
		for _, suffix := range compressions {
			data, err := read(dir, name+suffix)
			if err == nil || !errors.Is(err, fs.ErrNotExist) {
				return data, err
			}
			last = err
		}
	}
	return nil, last
}
