package image

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Holds reports whether the path leads to the store, to a file of it, or to a place in it where there is nothing yet,
// by whatever links. Who is to write a file looks here first: what is written into the store destroys images.
func (s *Store) Holds(path string) bool {
	var parts, files []fs.FileInfo
	for _, dir := range []string{s.dir, s.privateDir(), filepath.Join(s.dir, "blobs"),
		filepath.Join(s.dir, "blobs", "sha256")} {
		if st, err := os.Stat(dir); err == nil {
			parts = append(parts, st)
		}
	}
	same := func(list []fs.FileInfo, st fs.FileInfo) bool {
		return slices.ContainsFunc(list, func(x fs.FileInfo) bool { return os.SameFile(x, st) })
	}
	if _, in := upwards(landing(path), func(at string) bool {
		st, err := os.Stat(at)
		return err == nil && same(parts, st)
	}); in {
		return true
	}
	st, err := os.Stat(path)
	if err != nil || !st.Mode().IsRegular() {
		return false
	}
	// A hard link has another folder, and a file of the store may be a link to one that lies elsewhere.
	for _, dir := range []string{s.dir, s.privateDir(), filepath.Join(s.dir, "blobs", "sha256")} {
		names, _ := os.ReadDir(dir)
		for _, n := range names {
			if x, err := os.Stat(filepath.Join(dir, n.Name())); err == nil {
				files = append(files, x)
			}
		}
	}
	return same(files, st)
}

// InStore finds the store whose folder, or one below it, a file lies in, or will lie in; by its folders alone: a hard
// link elsewhere is not seen.
func InStore(path string) (dir string, in bool) {
	return upwards(filepath.Dir(landing(path)), func(at string) bool {
		st, err := os.Stat(filepath.Join(at, ocispec.ImageLayoutFile))
		return err == nil && st.Mode().IsRegular() || Remains(at)
	})
}

// upwards finds the first that is what is looked for, of a clean path and the folders above it.
func upwards(at string, is func(at string) bool) (string, bool) {
	for ; !is(at); at = filepath.Dir(at) {
		if at == filepath.Dir(at) {
			return "", false
		}
	}
	return at, true
}

// maxLinks is how many links one after another Linux follows (path_resolution(7)).
const maxLinks = 40

// landing is the real path of what is written to path, also where nothing is there yet.
func landing(path string) string {
	if wd, err := os.Getwd(); err == nil && !filepath.IsAbs(path) {
		path = wd + "/" + path // not Join: a .. behind a link is not of where the link lies
	}
	for range maxLinks {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			return real
		}
		dir, name := filepath.Split(strings.TrimRight(path, "/"))
		if dir == "" {
			break
		}
		to, err := os.Readlink(path)
		switch {
		case err != nil:
			return filepath.Join(landing(dir), name)
		case filepath.IsAbs(to):
			path = to
		default:
			path = dir + to
		}
	}
	return filepath.Clean(path)
}
