// Package ramfs makes and reads the archives that a Linux kernel unpacks as its first root file system.
//
// The format is cpio "newc" (Linux, Documentation/driver-api/early-userspace/buffer-format.rst). An [Archive] is
// written in one fixed way, so that the same content is the same bytes: records sorted by name, inode numbers counted
// from one, owner root, every time the same, no device nodes. Device nodes are not missed: /dev/console is in the
// archive that every kernel carries inside itself, and the rest is devtmpfs.
package ramfs

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
)

// MaxFile is the size, in bytes, of the largest file that the format can hold: its size field has eight hexadecimal
// digits.
const MaxFile = 1<<32 - 1

// Kind of a record.
type Kind int

// Kinds of records.
const (
	File Kind = iota
	Dir
	Symlink
)

// Record is one file, directory or symbolic link.
type Record struct {
	Name   string // relative, slash-separated, clean: "bin/sh"
	Kind   Kind
	Perm   uint32 // permission bits; a symbolic link has 0777
	Target string // of a symbolic link
	Size   int64  // of a file, in bytes
	// Open reads a file's content, exactly Size bytes. It is called once for each time the archive is written.
	Open func() (io.ReadCloser, error)
}

// NewFile is a file with its content in memory.
func NewFile(name string, perm uint32, data []byte) Record {
	return Record{Name: name, Kind: File, Perm: perm, Size: int64(len(data)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}}
}

// NewDir is a directory.
func NewDir(name string, perm uint32) Record { return Record{Name: name, Kind: Dir, Perm: perm} }

// NewSymlink is a symbolic link.
func NewSymlink(name, target string) Record {
	return Record{Name: name, Kind: Symlink, Perm: 0o777, Target: target}
}

// Data reads the whole content of a file.
func (r Record) Data() ([]byte, error) {
	if r.Kind != File {
		return nil, fmt.Errorf("%s is not a file", r.Name)
	}
	f, err := r.Open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// Archive is a set of records with different names. The zero value is empty and ready to use.
type Archive struct {
	records map[string]Record
}

// Add adds records and the directories above them that are not there yet. A name that is there already is an error,
// except for a directory that is added twice: the last mode counts.
func (a *Archive) Add(records ...Record) error {
	for _, r := range records {
		if err := r.check(); err != nil {
			return err
		}
		if old, ok := a.records[r.Name]; ok && (old.Kind != Dir || r.Kind != Dir) {
			return fmt.Errorf("%s is in the archive already", r.Name)
		}
		if err := a.addParents(r.Name); err != nil {
			return err
		}
		a.records[r.Name] = r
	}
	return nil
}

// Set is Add for a record that may take the place of another.
func (a *Archive) Set(r Record) error {
	if old, ok := a.records[r.Name]; ok && old.Kind != Dir {
		delete(a.records, r.Name)
	}
	return a.Add(r)
}

// Lookup finds a record by its name.
func (a *Archive) Lookup(name string) (Record, bool) {
	r, ok := a.records[name]
	return r, ok
}

// Records returns all records in the order in which they are written: a directory before what is in it.
func (a *Archive) Records() []Record {
	var all []Record
	for _, name := range slices.Sorted(maps.Keys(a.records)) {
		all = append(all, a.records[name])
	}
	return all
}

func (a *Archive) addParents(name string) error {
	if a.records == nil {
		a.records = map[string]Record{}
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		old, ok := a.records[dir]
		if !ok {
			a.records[dir] = NewDir(dir, 0o755)
			continue
		}
		// The kernel follows a symbolic link here, but the result would depend on the order of the records.
		if old.Kind != Dir {
			return fmt.Errorf("%s is below %s, which is not a directory", name, dir)
		}
		return nil
	}
	return nil
}

func (r Record) check() error {
	switch {
	case r.Name == "" || r.Name == "." || path.IsAbs(r.Name) || path.Clean(r.Name) != r.Name ||
		strings.HasPrefix(r.Name, "../") || r.Name == "..":
		return fmt.Errorf("%q is not a clean relative name", r.Name)
	case strings.ContainsRune(r.Name, 0) || strings.ContainsRune(r.Target, 0):
		return fmt.Errorf("%q: a name with a zero byte", r.Name)
	case len(r.Name) >= maxName || len(r.Target) >= maxName:
		return fmt.Errorf("%.40q...: a name of %d bytes or more", r.Name, maxName)
	case r.Name == trailer:
		return fmt.Errorf("%s marks the end of an archive and cannot be a name", trailer)
	case r.Perm&^0o7777 != 0:
		return fmt.Errorf("%s: mode %#o has more than permission bits", r.Name, r.Perm)
	case r.Kind == Symlink && r.Target == "":
		return fmt.Errorf("%s: a symbolic link to nothing", r.Name)
	case r.Kind == File && r.Open == nil:
		return fmt.Errorf("%s: a file without content", r.Name)
	case r.Size < 0 || r.Size > MaxFile:
		return fmt.Errorf("%s: %d bytes do not fit into a cpio record (at most %d)", r.Name, r.Size, int64(MaxFile))
	}
	return nil
}
