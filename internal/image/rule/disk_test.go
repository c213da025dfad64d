package rule

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/volume"
)

// disk is a disk made by chance.
type disk struct {
	bytes  []byte
	sector int64
	what   []string        // what is on it, a line each
	free   []volume.Extent // what a judge calls free in a file system that a sound table names
	repair []volume.Extent // a damaged copy of the table, which a restore makes anew
	// refused says that the table is not sound: nothing is free, and a capture may say no.
	refused bool
	sound   []placed // the file systems that must pass their checkers
	// mayLeave is how many bytes of free are in file systems with nothing behind them: what has something there is
	// captured whole.
	mayLeave int64
	leaves   map[int]int64 // the same of each partition
	*layout
}

type placed struct {
	fs    *fileSystem
	start int64
}

func (d *disk) note(format string, args ...any) {
	d.what = append(d.what, fmt.Sprintf(format, args...))
}

func (d *disk) String() string { return strings.Join(d.what, "\n    ") }

// Ways in which a table is not as it should be.
var flaws = map[string][]string{
	"gpt":  {"overlap", "beyond the end", "both copies damaged", "first copy damaged", "second copy damaged", "hybrid"},
	"dos":  {"overlap", "beyond the end", "old GPT below", "no partition type"},
	"none": {""},
}

// compose makes the disk of a seed.
func compose(seed uint64, pool []*fileSystem) *disk {
	r := rand.New(rand.NewPCG(seed, 2))
	d := &disk{sector: 512}
	if r.IntN(4) == 0 {
		d.sector = 4096
	}
	kind := []string{"gpt", "gpt", "gpt", "dos", "dos", "none"}[r.IntN(6)]
	flaw := ""
	if r.IntN(3) == 0 {
		flaw = flaws[kind][r.IntN(len(flaws[kind]))]
	}
	d.note("table %s %s, sectors of %d", kind, flaw, d.sector)
	d.layout = d.place(r, kind, pool)
	d.paint(r, pool)
	for i, c := range d.contents {
		d.put(r, i, c, d.parts[i])
	}
	d.tree(r)
	d.table(r, kind, flaw)
	return d
}

// content is what is in a partition: a file system, sound or with its head destroyed, random bytes or zeros.
type content struct {
	fs   *fileSystem
	how  string // sound, headless, random, zero
	need int64
}

// layout says where what is.
type layout struct {
	parts         []partition
	contents      []content
	extended, end int64 // the extended partition
}

// place chooses contents and puts them one behind the other, with and without gaps, and makes the disk as large as that
// takes.
func (d *disk) place(r *rand.Rand, kind string, pool []*fileSystem) *layout {
	l := &layout{}
	align := d.sector << r.IntN(5)
	up := func(n int64) int64 { return (n + align - 1) / align * align }
	some := func(max int64) int64 { // often nothing
		if r.IntN(3) == 0 {
			return 0
		}
		return up(r.Int64N(max))
	}
	at, n := up(d.sector), 1+r.IntN(4)
	switch kind {
	case "none":
		at, n = 0, 1
	case "gpt":
		at = up(gptHead(d.sector))
	}
	large := r.IntN(25) == 0 // one of those that take hundreds of MB
	logical := n
	if kind == "dos" && (n == 4 || r.IntN(2) == 0) {
		logical = r.IntN(min(n, 3) + 1) // from here on
	}
	for i := range n {
		c := choose(r, pool, &large)
		p := partition{}
		if kind != "none" {
			at += some(mib)
		}
		if kind == "dos" && i >= logical {
			if i == logical {
				l.extended = at
			}
			p.ebr = at
			at = up(at + d.sector + some(mib/2))
		}
		p.start = at
		p.size = up(c.need) + some(mib)
		if kind == "none" {
			p.size = up(c.need)
		}
		at += p.size
		l.parts, l.contents, l.end = append(l.parts, p), append(l.contents, c), at
	}
	at += some(2 * mib)
	if kind == "gpt" {
		at = up(at + gptHead(d.sector) - d.sector)
	}
	d.bytes = make([]byte, at)
	return l
}

func choose(r *rand.Rand, pool []*fileSystem, large *bool) content {
	c := content{need: 4096 + r.Int64N(2*mib)}
	c.how = []string{"sound", "sound", "sound", "sound", "sound", "headless", "random", "zero"}[r.IntN(8)]
	if c.how != "sound" && c.how != "headless" {
		return c
	}
	for {
		c.fs = pool[r.IntN(len(pool))]
		if c.fs.size < 30*mib || *large {
			*large = *large && c.fs.size < 30*mib
			c.need = c.fs.size
			return c
		}
	}
}

// paint gives the disk a past: patches of random bytes and of zeros, and file systems that were there once.
func (d *disk) paint(r *rand.Rand, pool []*fileSystem) {
	for at := 0; at < len(d.bytes); {
		n := min(len(d.bytes)-at, 1+r.IntN(2*mib))
		if r.IntN(4) > 0 {
			imagetest.Random(d.bytes[at:at+n], r.Uint64())
		}
		at += n
	}
	for range r.IntN(3) {
		fs := pool[r.IntN(len(pool))]
		starts := []int64{0, r.Int64N(int64(len(d.bytes))/d.sector) * d.sector, d.parts[r.IntN(len(d.parts))].start}
		at := starts[r.IntN(len(starts))]
		d.note("an old %s at %d", fs.name, at)
		for _, p := range fs.pieces {
			if at+p.off < int64(len(d.bytes)) {
				copy(d.bytes[at+p.off:], p.data)
			}
		}
	}
}

// put writes the content of a partition, and notes what of it is free.
func (d *disk) put(r *rand.Rand, i int, c content, p partition) {
	bytes := d.bytes[p.start : p.start+p.size]
	switch c.how {
	case "random":
		imagetest.Random(bytes, r.Uint64())
	case "zero":
		clear(bytes)
	default:
		c.fs.write(bytes)
		if c.how == "headless" {
			// beyond the superblock of btrfs, the last of all
			imagetest.Random(bytes[:min(len(bytes), 72<<10)], r.Uint64())
			if tail := bytes[c.need-min(c.need, 4096):]; len(tail) > 0 {
				imagetest.Random(tail, r.Uint64())
			}
		}
	}
	name := c.how
	if c.fs != nil {
		name += " " + c.fs.name
	}
	d.note("partition %d, bytes %d to %d: %s of %d bytes", i+1, p.start, p.start+p.size, name, c.need)
	if c.how != "sound" {
		return
	}
	d.sound = append(d.sound, placed{c.fs, p.start})
	behind := bytes[c.need:]
	if r.IntN(2) == 0 {
		clear(behind)
	}
	if len(behind) < 4096 || image.IsZero(behind) {
		d.leave(i, volume.Bytes(c.fs.free))
	}
	for _, e := range c.fs.free {
		d.free = append(d.free, volume.Extent{Offset: p.start + e.Offset, Length: e.Length})
	}
}

// table writes the table, with its flaw.
func (d *disk) table(r *rand.Rand, kind, flaw string) {
	parts := append([]partition(nil), d.parts...)
	last := &parts[len(parts)-1]
	switch flaw {
	case "overlap":
		d.refused = len(parts) > 1
		if d.refused && last.ebr == 0 {
			before := parts[len(parts)-2]
			last.size += last.start - (before.start + before.size/2/d.sector*d.sector)
			last.start = before.start + before.size/2/d.sector*d.sector
		} else {
			d.refused = false
		}
	case "beyond the end":
		d.refused = true
		last.size = (int64(len(d.bytes))-last.start)/d.sector*d.sector + mib
		d.end = last.start + last.size
	}
	switch kind {
	case "dos":
		putDOS(r, d.bytes, d.sector, parts, d.extended, d.end)
	case "gpt":
		putGPT(r, d.bytes, d.sector, parts)
	}
	end := int64(len(d.bytes))
	switch flaw {
	case "both copies damaged", "first copy damaged", "second copy damaged":
		if flaw != "second copy damaged" {
			d.bytes[d.sector+60] ^= 1
			d.repair = append(d.repair, volume.Extent{Offset: 0, Length: gptHead(d.sector)})
		}
		if flaw != "first copy damaged" {
			d.bytes[end-d.sector+60] ^= 1
			d.repair = append(d.repair,
				volume.Extent{Offset: end - gptHead(d.sector) + d.sector, Length: gptHead(d.sector) - d.sector})
		}
		d.refused = flaw == "both copies damaged"
	case "hybrid":
		for i, p := range parts[:min(len(parts), 3)] {
			putEntry(d.bytes[462+16*i:], 0x83, p.start/d.sector, p.size/d.sector)
		}
	case "old GPT below":
		d.oldGPT(r)
	case "no partition type":
		if last.ebr == 0 { // nobody knows what such an entry is (hybrid ISOs have them): nothing in it is free
			d.bytes[446+16*(countPrimary(parts)-1)+4] = 0
			d.free = volume.Subtract(d.free, []volume.Extent{{Offset: last.start, Length: last.size}})
		}
	}
	if d.refused {
		d.free, d.repair = nil, nil
		d.note("so the table is refused")
	}
}

func countPrimary(parts []partition) (n int) {
	for _, p := range parts {
		if p.ebr == 0 {
			n++
		}
	}
	return n
}

// oldGPT leaves the backup of a GPT at the end of the disk, as a program does that knows only dos tables, if nothing
// else is there.
func (d *disk) oldGPT(r *rand.Rand) {
	old := make([]byte, len(d.bytes))
	if tail := int64(len(old)) - gptHead(d.sector) + d.sector; tail >= d.end {
		putGPT(r, old, d.sector, []partition{{start: 64 * d.sector, size: 100 * d.sector}})
		copy(d.bytes[tail:], old[tail:])
	}
}
