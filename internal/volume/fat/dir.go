package fat

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"strings"
	"unicode/utf16"

	"github.com/diskcast/diskcast/internal/volume"
)

// Entry is a file or directory.
type Entry struct {
	Name  string // the long name if there is one, else the short one
	Short string // as 8.3, "GRUBX64.EFI"
	Dir   bool
	Size  int64 // bytes; 0 for a directory

	first int64 // cluster; 0 for an empty file, and for the root directory where ".." names it
}

// Bounds on what is read, against loops in the table and directories that claim to be endless.
const (
	maxDir   = 2 << 20 // bytes of a directory: 65536 entries, the most that the specification allows
	maxDepth = 32
)

// Bits of the attribute byte (specification, page 23).
const (
	attrVolume = 0x08
	attrDir    = 0x10
	attrLong   = 0x0f // all four bits of the mask 0x3f: the entry is a piece of a long name
)

// List returns what is in the directory with the path, in the order of the disk, without "." and "..". Names are
// separated by slashes and compared without regard to case, as firmware does. A path that is not there is an error that
// wraps [fs.ErrNotExist].
func (f *FS) List(path string) ([]Entry, error) {
	e, err := f.lookup(path)
	if err != nil {
		return nil, err
	}
	if !e.Dir {
		return nil, fmt.Errorf("%s: not a directory", path)
	}
	entries, err := f.readDir(e)
	if err != nil {
		return nil, fmt.Errorf("directory %s: %w", path, err)
	}
	return entries, nil
}

// ReadFile returns the bytes of a file that has at most max.
func (f *FS) ReadFile(path string, max int64) ([]byte, error) {
	b, whole, err := f.Head(path, max)
	if err == nil && !whole {
		err = fmt.Errorf("%s has more than the %d bytes that are read", path, max)
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Head returns the first max bytes of a file, and whether they are all of it.
func (f *FS) Head(path string, max int64) (b []byte, whole bool, err error) {
	e, err := f.lookup(path)
	if err != nil {
		return nil, false, err
	}
	if e.Dir {
		return nil, false, fmt.Errorf("%s: is a directory", path)
	}
	if e.Size > 0 {
		if b, err = f.readChain(e.first, min(e.Size, max)); err != nil {
			return nil, false, fmt.Errorf("%s: %w", path, err)
		}
	}
	return b, e.Size <= max, nil
}

// lookup walks from the root directory.
func (f *FS) lookup(path string) (Entry, error) {
	at := Entry{Dir: true}
	depth := 0
	for name := range strings.SplitSeq(path, "/") {
		if name == "" {
			continue
		}
		if depth++; depth > maxDepth {
			return at, fmt.Errorf("%s: more than %d directories deep", path, maxDepth)
		}
		if !at.Dir {
			return at, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
		}
		entries, err := f.readDir(at)
		if err != nil {
			return at, fmt.Errorf("%s: %w", path, err)
		}
		found := false
		for _, e := range entries {
			if strings.EqualFold(e.Name, name) || strings.EqualFold(e.Short, name) {
				at, found = e, true
				break
			}
		}
		if !found {
			return at, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
		}
	}
	return at, nil
}

func (f *FS) readDir(dir Entry) ([]Entry, error) {
	var raw []byte
	var err error
	switch {
	case dir.first != 0:
		raw, err = f.readChain(dir.first, -1)
	case f.bits == 32:
		raw, err = f.readChain(f.rootCluster, -1)
	default:
		raw, err = volume.Read(f.r, f.size, f.dataStart()-f.root, f.root, maxDir)
	}
	if err != nil {
		return nil, err
	}
	return f.entries(raw), nil
}

// readChain reads n bytes of a chain of clusters; with n < 0 all of a directory's.
func (f *FS) readChain(first, n int64) ([]byte, error) {
	limit := n
	if n < 0 {
		limit = min(maxDir, f.clusters*f.cluster)
	}
	if limit > f.clusters*f.cluster {
		return nil, fmt.Errorf("it claims %d bytes, more than the file system holds", limit)
	}
	var out []byte
	for c := first; int64(len(out)) < limit; {
		if c < 2 || c >= f.clusters+2 {
			if n < 0 && len(out) > 0 {
				return out, nil // the end of the chain
			}
			return nil, fmt.Errorf("its chain of clusters leads to %d, which there is not", c)
		}
		b, err := volume.Read(f.r, f.size, f.clusterStart(c), min(f.cluster, limit-int64(len(out))), 4<<20)
		if err != nil {
			return nil, err
		}
		out = append(out, b...)
		if c, err = f.next(c); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// next reads a cluster's entry in the first table.
func (f *FS) next(c int64) (int64, error) {
	var b [4]byte
	width := int64(f.bits+7) / 8
	if err := volume.ReadAt(f.r, f.size, f.reserved+c*int64(f.bits)/8, b[:width]); err != nil {
		return 0, fmt.Errorf("its chain of clusters: %w", err)
	}
	v := int64(binary.LittleEndian.Uint32(b[:]))
	if f.bits == 12 && c&1 == 1 {
		return v >> 4, nil
	}
	return v & (1<<min(f.bits, 28) - 1), nil
}

// entries decodes a directory. A long name stands in entries before its short one, last piece first; one that was
// broken off, or whose checksum is of another short name, does not count.
func (f *FS) entries(raw []byte) []Entry {
	var out []Entry
	var long longName
	for ; len(raw) >= 32 && raw[0] != 0; raw = raw[32:] {
		b := raw[:32]
		switch attr := b[11]; {
		case b[0] == 0xe5: // deleted
			long = longName{}
		case attr&0x3f == attrLong:
			long.add(b)
		case attr&attrVolume != 0:
			long = longName{}
		default:
			e := Entry{Short: shortName(b), Dir: attr&attrDir != 0, Size: int64(binary.LittleEndian.Uint32(b[28:]))}
			e.first = int64(binary.LittleEndian.Uint16(b[26:]))
			if f.bits == 32 {
				e.first |= int64(binary.LittleEndian.Uint16(b[20:])) << 16
			}
			if e.Dir {
				e.Size = 0
			}
			if e.Name = long.of(b); e.Name == "" {
				e.Name = e.Short
			}
			long = longName{}
			if e.Short != "." && e.Short != ".." {
				out = append(out, e)
			}
		}
	}
	return out
}

// shortName is the name in an entry, with what the two bits for lower case say (Windows NT and Linux write them).
func shortName(b []byte) string {
	const lowerBase, lowerExt = 0x08, 0x10
	raw := bytes.Clone(b[:11])
	if raw[0] == 0x05 { // stands for 0xe5
		raw[0] = 0xe5
	}
	base, ext := strings.TrimRight(text(raw[:8]), " "), strings.TrimRight(text(raw[8:]), " ")
	if b[12]&lowerBase != 0 {
		base = strings.ToLower(base)
	}
	if b[12]&lowerExt != 0 {
		ext = strings.ToLower(ext)
	}
	if ext == "" {
		return base
	}
	return base + "." + ext
}

// text takes what is not ASCII, and would need a code page, as a question mark.
func text(b []byte) string {
	out := bytes.Clone(b)
	for i, c := range out {
		if c < 0x20 || c > 0x7e {
			out[i] = '?'
		}
	}
	return string(out)
}

// longName collects the pieces of a long name.
type longName struct {
	units []uint16
	next  byte // the number of the piece that must come; 0: the name is whole, or there is none
	sum   byte
}

func (l *longName) add(b []byte) {
	const last, maxPieces = 0x40, 20 // 255 characters in pieces of 13
	n := b[0] &^ last
	if b[0]&last != 0 && n >= 1 && n <= maxPieces {
		*l = longName{next: n, sum: b[13]}
	}
	if n == 0 || n != l.next || b[13] != l.sum {
		*l = longName{}
		return
	}
	var piece []uint16
	for _, at := range [...]struct{ from, to int }{{1, 11}, {14, 26}, {28, 32}} {
		for i := at.from; i < at.to; i += 2 {
			piece = append(piece, binary.LittleEndian.Uint16(b[i:]))
		}
	}
	l.units = append(piece, l.units...)
	l.next--
}

// of returns the long name of the entry; empty when it has none.
func (l *longName) of(b []byte) string {
	if len(l.units) == 0 || l.next != 0 {
		return ""
	}
	var sum byte
	for _, c := range b[:11] {
		sum = sum>>1 | sum<<7
		sum += c
	}
	if sum != l.sum {
		return ""
	}
	for i, u := range l.units {
		if u == 0 {
			l.units = l.units[:i]
			break
		}
	}
	return string(utf16.Decode(l.units))
}
