package oracle

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"
)

// Tree is what a directory holds, by path without a leading slash. Device nodes, sockets and fifos are left out:
// debugfs does not write them.
type Tree map[string]Entry

// Entry is a file, a directory or a link.
type Entry struct {
	Type string `json:"t"` // "f", "d" or "l"
	// permission bits; without set-id bits, which chown clears when debugfs writes the file
	Mode uint32 `json:"m,omitempty"`
	UID  uint32 `json:"u,omitempty"`
	GID  uint32 `json:"g,omitempty"`
	Size int64  `json:"s,omitempty"`
	Sum  string `json:"h,omitempty"` // SHA-256 of a file's bytes, or a link's target
}

// ReadTree reads and hashes everything below dir.
func ReadTree(dir string) (Tree, error) {
	t := Tree{}
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		st := fi.Sys().(*syscall.Stat_t)
		e := Entry{Mode: uint32(fi.Mode().Perm()), UID: st.Uid, GID: st.Gid}
		switch {
		case fi.IsDir():
			e.Type = "d"
		case fi.Mode()&fs.ModeSymlink != 0:
			e.Type, e.Mode = "l", 0
			if e.Sum, err = os.Readlink(path); err != nil {
				return err
			}
		case fi.Mode().IsRegular():
			e.Type, e.Size = "f", fi.Size()
			files = append(files, name)
		default:
			return nil
		}
		t[name] = e
		return nil
	})
	if err != nil {
		return nil, err
	}
	sums := make([]string, len(files))
	var g errgroup.Group
	g.SetLimit(runtime.NumCPU())
	for i, name := range files {
		g.Go(func() (err error) {
			sums[i], err = HashFile(filepath.Join(dir, name))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for i, name := range files {
		e := t[name]
		e.Sum = sums[i]
		t[name] = e
	}
	return t, nil
}

// HashFile is the SHA-256 of a file, in hexadecimal.
func HashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Names is the tree without owners and modes, for file systems that keep none.
func (t Tree) Names() Tree {
	out := Tree{}
	for name, e := range t {
		e.Mode, e.UID, e.GID = 0, 0, 0
		out[name] = e
	}
	return out
}

// Same says what differs between the wanted tree and another, apart from what lies at or below the ignored paths.
// It returns how many entries were compared.
func (t Tree) Same(got Tree, ignore []string) (int, error) {
	skip := func(name string) bool {
		for _, p := range ignore {
			if name == p || strings.HasPrefix(name, p+"/") {
				return true
			}
		}
		return false
	}
	var wrong []string
	n := 0
	for name, e := range t {
		if skip(name) {
			continue
		}
		n++
		switch g, ok := got[name]; {
		case !ok:
			wrong = append(wrong, name+": missing")
		case g != e:
			wrong = append(wrong, fmt.Sprintf("%s: got %+v, want %+v", name, g, e))
		}
	}
	for name := range got {
		if _, ok := t[name]; !ok && !skip(name) {
			wrong = append(wrong, name+": was not in the source")
		}
	}
	if len(wrong) == 0 {
		return n, nil
	}
	sort.Strings(wrong)
	total := len(wrong)
	return n, fmt.Errorf("%d of %d entries differ: %s", total, n, strings.Join(wrong[:min(total, 8)], "; "))
}

// Save and LoadTree keep a tree beside the disk it describes.
func (t Tree) Save(path string) error {
	b, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}

// LoadTree reads what Save wrote.
func LoadTree(path string) (Tree, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var t Tree
	if err := json.Unmarshal(b, &t); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// FirstNonZero is the place of the first byte that is not zero in a range of a file, or -1.
func FirstNonZero(path string, from, length int64) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	buf := make([]byte, 1<<20)
	for off := int64(0); off < length; {
		n, err := f.ReadAt(buf[:min(int64(len(buf)), length-off)], from+off)
		for i, b := range buf[:n] {
			if b != 0 {
				return from + off + int64(i), nil
			}
		}
		off += int64(n)
		if errors.Is(err, io.EOF) {
			return -1, nil
		}
		if err != nil {
			return 0, err
		}
	}
	return -1, nil
}
