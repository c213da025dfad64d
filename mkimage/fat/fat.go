// Package fat makes a FAT32 file system of a few files, as UEFI firmware reads it (UEFI 2.10, 13.3; Microsoft, "FAT32
// File System Specification", 1.03). Libraries that do so put the present time into it; here the same files are the
// same bytes.
package fat

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strings"
	"time"
)

// Options of a file system.
type Options struct {
	Label  string    // at most 11 characters of A-Z, 0-9, _ and -
	ID     uint32    // of the volume
	Time   time.Time // of every file; before 1980 means 1980, with which FAT begins
	Hidden uint32    // sectors before the partition, which BIOS' boot code would want to know
}

const (
	sector       = 512
	reserved     = 32 // sectors before the first table
	tables       = 2
	rootCluster  = 2
	minClusters  = 65525 // with fewer it is FAT16, whatever it says of itself
	slack        = 2048  // sectors that stay free
	backupSector = 6
	end          = 0x0fffffff // the last cluster of a file
	maxFile      = math.MaxUint32
)

// geometry is how the sectors are shared out.
type geometry struct {
	perCluster, table, total, clusters int
}

// plan finds the smallest file system for so many bytes in clusters. Small clusters keep a small one FAT32.
func plan(bytesOf func(cluster int) int) geometry {
	g := geometry{perCluster: 1}
	for bytesOf(g.perCluster*sector) > 256<<20*g.perCluster && g.perCluster < 64 {
		g.perCluster *= 2
	}
	g.clusters = max(bytesOf(g.perCluster*sector)/(g.perCluster*sector)+slack/g.perCluster, minClusters+16)
	g.table = ((g.clusters+2)*4 + sector - 1) / sector
	g.total = reserved + tables*g.table + g.clusters*g.perCluster
	return g
}

// Make writes the file system. Names are in capitals, eight characters and three behind a dot: EFI/BOOT/BOOTX64.EFI.
func Make(files map[string][]byte, o Options) ([]byte, error) {
	root, err := tree(files)
	if err != nil {
		return nil, err
	}
	if strings.Trim(o.Label, chars) != "" || len(o.Label) > 11 {
		return nil, fmt.Errorf("%q is no label", o.Label)
	}
	g := plan(root.bytes)
	w := &writer{g: g, o: o, out: make([]byte, g.total*sector), next: rootCluster}
	root.place(w)
	w.boot()
	w.table(0, 0x0ffffff8)
	w.table(1, end)
	root.write(w, root)
	first := w.out[reserved*sector : (reserved+g.table)*sector]
	copy(w.out[(reserved+g.table)*sector:], first)
	return w.out, nil
}

// node is a file or a directory.
type node struct {
	name     string
	data     []byte
	dir      bool
	children []*node
	parent   *node
	cluster  int
}

const chars = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

func tree(files map[string][]byte) (*node, error) {
	root := &node{dir: true}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if int64(len(files[name])) > maxFile {
			return nil, fmt.Errorf("%s: %d bytes do not fit into FAT", name, len(files[name]))
		}
		at := root
		words := strings.Split(name, "/")
		for i, word := range words {
			base, ext, dot := strings.Cut(word, ".")
			if base == "" || len(base) > 8 || len(ext) > 3 || dot && ext == "" || strings.Trim(base+ext, chars) != "" {
				return nil, fmt.Errorf("%s: %q is not a name of eight capitals and three", name, word)
			}
			last := i == len(words)-1
			j := slices.IndexFunc(at.children, func(n *node) bool { return n.name == word })
			switch {
			case j >= 0 && (last || !at.children[j].dir):
				return nil, fmt.Errorf("%s is a file and a folder", path.Join(words[:i+1]...))
			case j >= 0:
				at = at.children[j]
			default:
				n := &node{name: word, dir: !last, parent: at}
				if last {
					n.data = files[name]
				}
				at.children = append(at.children, n)
				at = n
			}
		}
	}
	return root, nil
}

// size of what stands in the clusters of a node: a directory has an entry for the label or for itself and its parent.
func (n *node) size() int {
	if !n.dir {
		return len(n.data)
	}
	return 32 * (len(n.children) + 2)
}

// bytes of the clusters of a node and of all below.
func (n *node) bytes(cluster int) int {
	sum := (n.size() + cluster - 1) / cluster * cluster
	for _, c := range n.children {
		sum += c.bytes(cluster)
	}
	return sum
}

// place gives each node its clusters, one behind the other.
func (n *node) place(w *writer) {
	size := w.g.perCluster * sector
	if count := (n.size() + size - 1) / size; count > 0 {
		n.cluster = w.next
		w.next += count
	}
	for _, c := range n.children {
		c.place(w)
	}
}

type writer struct {
	g    geometry
	o    Options
	out  []byte
	next int // first free cluster
}

func (w *writer) table(cluster, value int) {
	binary.LittleEndian.PutUint32(w.out[reserved*sector+4*cluster:], uint32(value))
}

// boot writes the first sector, the sector of counts, and the copies of both.
func (w *writer) boot() {
	b := w.out[:sector]
	copy(b, "\xeb\x58\x90diskcast")
	le := binary.LittleEndian
	le.PutUint16(b[11:], sector)
	b[13] = byte(w.g.perCluster)
	le.PutUint16(b[14:], reserved)
	b[16], b[21] = tables, 0xf8
	le.PutUint16(b[24:], 32) // sectors of a track and heads, for who still asks
	le.PutUint16(b[26:], 64)
	le.PutUint32(b[28:], w.o.Hidden)
	le.PutUint32(b[32:], uint32(w.g.total))
	le.PutUint32(b[36:], uint32(w.g.table))
	le.PutUint32(b[44:], rootCluster)
	le.PutUint16(b[48:], 1) // the sector of counts
	le.PutUint16(b[50:], backupSector)
	b[64], b[66] = 0x80, 0x29
	le.PutUint32(b[67:], w.o.ID)
	copy(b[71:82], fmt.Sprintf("%-11s", cmp.Or(w.o.Label, "NO NAME")))
	copy(b[82:90], "FAT32   ")
	// Boot code for BIOS, which finds no system here: int 18h, "no boot device".
	copy(b[90:], "\xcd\x18\xeb\xfe")
	b[510], b[511] = 0x55, 0xaa
	c := w.out[sector : 2*sector]
	le.PutUint32(c, 0x41615252)
	le.PutUint32(c[484:], 0x61417272)
	le.PutUint32(c[488:], uint32(w.g.clusters+rootCluster-w.next))
	le.PutUint32(c[492:], uint32(w.next))
	le.PutUint32(c[508:], 0xaa550000)
	copy(w.out[backupSector*sector:], w.out[:2*sector])
}

// write puts a node's content into its clusters and their chain into the table.
func (n *node) write(w *writer, root *node) {
	data := n.data
	if n.dir {
		data = n.directory(w, root)
	}
	size := w.g.perCluster * sector
	copy(w.out[(reserved+tables*w.g.table)*sector+(n.cluster-rootCluster)*size*min(1, n.cluster):], data)
	for i := range (len(data) + size - 1) / size {
		next := n.cluster + i + 1
		if (i+1)*size >= len(data) {
			next = end
		}
		w.table(n.cluster+i, next)
	}
	for _, c := range n.children {
		c.write(w, root)
	}
}

// Attributes of an entry.
const (
	isLabel = 0x08
	isDir   = 0x10
	isFile  = 0x20
)

func (n *node) directory(w *writer, root *node) []byte {
	var b bytes.Buffer
	if n == root {
		if w.o.Label != "" {
			b.Write(w.entry(fmt.Sprintf("%-11s", w.o.Label), isLabel, 0, 0))
		}
	} else {
		above := n.parent.cluster
		if n.parent == root {
			above = 0 // so the specification wants it, wherever the root lies
		}
		b.Write(w.entry(fmt.Sprintf("%-11s", "."), isDir, n.cluster, 0))
		b.Write(w.entry(fmt.Sprintf("%-11s", ".."), isDir, above, 0))
	}
	for _, c := range n.children {
		base, ext, _ := strings.Cut(c.name, ".")
		kind := isFile
		if c.dir {
			kind = isDir
		}
		b.Write(w.entry(fmt.Sprintf("%-8s%-3s", base, ext), kind, c.cluster, len(c.data)))
	}
	// A directory's size is that of its clusters; what is behind the last entry is zero.
	return append(b.Bytes(), make([]byte, n.size()-b.Len())...)
}

func (w *writer) entry(name string, kind, cluster, size int) []byte {
	e := make([]byte, 32)
	copy(e, name)
	e[11] = byte(kind)
	date, clock := stamp(w.o.Time)
	le := binary.LittleEndian
	le.PutUint16(e[14:], clock)
	le.PutUint16(e[16:], date)
	le.PutUint16(e[18:], date)
	le.PutUint16(e[20:], uint16(cluster>>16))
	le.PutUint16(e[22:], clock)
	le.PutUint16(e[24:], date)
	le.PutUint16(e[26:], uint16(cluster))
	le.PutUint32(e[28:], uint32(size))
	return e
}

// stamp writes a time as FAT does: years from 1980 on, seconds by two.
func stamp(t time.Time) (date, clock uint16) {
	t = t.UTC()
	if t.Year() < 1980 || t.Year() > 2107 {
		t = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return uint16((t.Year()-1980)<<9 | int(t.Month())<<5 | t.Day()),
		uint16(t.Hour()<<11 | t.Minute()<<5 | t.Second()/2)
}
