package image

// Difference is what two images of disks have in common and what not. All numbers are bytes of the disk in stored
// extents, unless said otherwise.
type Difference struct {
	Same    int64    // in chunks that are the same at the same place
	Moved   int64    // of b: in chunks whose bytes a has at another place
	Changed int64    // of b: in chunks of cells that a has with other bytes
	Added   int64    // of b: in chunks of cells of which a has nothing
	Removed int64    // of a: in chunks of cells of which b has nothing
	New     int64    // bytes as stored of the frames that b has and a has not: what a restore of b onto a's disk needs
	Cells   []Extent // where b differs from a: the cells' part of the disk, joined
}

// Diff compares two images chunk by chunk. Their grids must be the same for anything to be.
func Diff(a, b *Index) Difference {
	var d Difference
	have := map[frameKey]bool{}
	for i := range a.Frames {
		have[frameKey{a.Frames[i].Sum, a.Frames[i].Size}] = true
	}
	for i := range b.Frames {
		if f := &b.Frames[i]; !have[frameKey{f.Sum, f.Size}] {
			d.New += f.Length
		}
	}
	i, j := 0, 0
	for i < len(a.Chunks) || j < len(b.Chunks) {
		switch {
		case j == len(b.Chunks) || i < len(a.Chunks) && a.Chunks[i].Cell*a.Grid < b.Chunks[j].Cell*b.Grid:
			d.Removed += a.stored(i)
			d.differ(a, i)
			i++
		case i == len(a.Chunks) || a.Chunks[i].Cell*a.Grid > b.Chunks[j].Cell*b.Grid:
			d.count(&d.Added, b, j, have)
			j++
		case a.Grid == b.Grid && sameChunk(a, b, i, j):
			d.Same += b.stored(j)
			i++
			j++
		default:
			d.count(&d.Changed, b, j, have)
			i++
			j++
		}
	}
	return d
}

func (d *Difference) count(n *int64, b *Index, j int, have map[frameKey]bool) {
	d.differ(b, j)
	if f := b.Chunks[j].Frame; f >= 0 && have[frameKey{b.Frames[f].Sum, b.Frames[f].Size}] {
		n = &d.Moved
	}
	*n += b.stored(j)
}

func (d *Difference) differ(x *Index, i int) {
	e := Extent{Offset: x.Chunks[i].Cell * x.Grid}
	e.Length = min(x.Grid, x.DiskSize-e.Offset)
	if n := len(d.Cells); n > 0 && d.Cells[n-1].End() >= e.Offset {
		d.Cells[n-1].Length = max(d.Cells[n-1].Length, e.End()-d.Cells[n-1].Offset)
		return
	}
	d.Cells = append(d.Cells, e)
}

// stored is the length of the stored extents of a chunk.
func (x *Index) stored(i int) int64 {
	if f := x.Chunks[i].Frame; f >= 0 {
		return x.Frames[f].Size
	}
	return 0
}

func sameChunk(a, b *Index, i, j int) bool {
	p, q := &a.Chunks[i], &b.Chunks[j]
	if (p.Frame < 0) != (q.Frame < 0) || p.Frame >= 0 && a.Frames[p.Frame].Sum != b.Frames[q.Frame].Sum {
		return false
	}
	return equalExtents(p.Extents, q.Extents) && equalExtents(p.Zeros, q.Zeros)
}

func equalExtents(a, b []Extent) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// Sharing says how much of an image another image of the store has too.
type Sharing struct {
	Name   string
	Digest string
	Frames int
	Bytes  int64 // of shared frames, as stored
}

// Shared returns the other images of the store that have frames in common with m, and calls each, when it is not nil,
// with the numbers of m's frames that some other image has. An image that cannot be read is passed over.
func (s *Store) Shared(m *Image, each func(frame int)) ([]Sharing, error) {
	list, err := s.List()
	if err != nil {
		return nil, err
	}
	mine := make(map[frameKey]int, len(m.index.Frames))
	for i := range m.index.Frames {
		mine[frameKey{m.index.Frames[i].Sum, m.index.Frames[i].Size}] = i
	}
	told := make([]bool, len(m.index.Frames))
	seen := map[string]bool{m.digest: true}
	var out []Sharing
	for _, e := range list {
		if seen[e.Digest] {
			continue
		}
		seen[e.Digest] = true
		o, err := s.Open(e.Digest)
		if err != nil {
			continue
		}
		sh := Sharing{Name: e.Name, Digest: e.Digest}
		for i := range o.index.Frames {
			n, ok := mine[frameKey{o.index.Frames[i].Sum, o.index.Frames[i].Size}]
			if !ok {
				continue
			}
			sh.Frames++
			sh.Bytes += m.index.Frames[n].Length
			if each != nil && !told[n] {
				each(n)
			}
			told[n] = true
		}
		o.Close()
		if sh.Frames > 0 {
			out = append(out, sh)
		}
	}
	return out, nil
}

// MapCell is one of the equal parts that Map cuts a disk into: how many of its bytes are what.
type MapCell struct {
	Size   int64
	Used   int64 // stored, and no other image has them
	Shared int64 // stored, and another image of the store has the same chunk
	Zero   int64
}

// Map cuts the disk into n equal parts, fewer when it has fewer bytes, and says what is in each. shared tells of each
// frame whether another image has it; nil: none.
func (x *Index) Map(n int, shared func(frame int) bool) []MapCell {
	n = int(min(int64(max(n, 1)), max(x.DiskSize, 1)))
	out := make([]MapCell, n)
	// Offsets are at most 2^60 and n is small, so that the part is found by division first.
	step, rest := x.DiskSize/int64(n), x.DiskSize%int64(n)
	start := func(i int) int64 { return int64(i)*step + min(int64(i), rest) }
	for i := range out {
		out[i].Size = start(i+1) - start(i)
	}
	at := 0
	add := func(e Extent, count func(*MapCell, int64)) {
		for at > 0 && start(at) > e.Offset {
			at--
		}
		for e.Length > 0 {
			for start(at+1) <= e.Offset {
				at++
			}
			k := min(e.Length, start(at+1)-e.Offset)
			count(&out[at], k)
			e.Offset += k
			e.Length -= k
		}
	}
	for i := range x.Chunks {
		c := &x.Chunks[i]
		used := func(m *MapCell, k int64) { m.Used += k }
		if c.Frame >= 0 && shared != nil && shared(int(c.Frame)) {
			used = func(m *MapCell, k int64) { m.Shared += k }
		}
		for _, e := range c.Extents {
			add(e, used)
		}
		for _, e := range c.Zeros {
			add(e, func(m *MapCell, k int64) { m.Zero += k })
		}
	}
	return out
}
