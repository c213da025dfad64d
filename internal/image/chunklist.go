package image

// chunkList is the chunks of an index while it is parsed. Their extents lie in arrays of many, which do not grow: what
// was cut from one stays where it is.
type chunkList struct {
	x             *Index
	keep          bool    // else nothing is kept
	refs          []int32 // number of chunks of each frame
	stored, zeros []Extent
}

// block is how many extents lie in one array, unless one chunk has more.
const block = 4096

// add takes a chunk whose extents are what stored and zeros have from s and z on.
func (l *chunkList) add(k Chunk, s, z int) {
	if !l.keep {
		l.stored, l.zeros = l.stored[:0], l.zeros[:0]
		return
	}
	k.Extents, l.stored = cut(l.stored, s)
	k.Zeros, l.zeros = cut(l.zeros, z)
	l.x.Chunks = append(l.x.Chunks, k)
}

// cut takes what all has from at on; rest is where the next go.
func cut(all []Extent, at int) (out, rest []Extent) {
	n := len(all)
	if at == n {
		return nil, all
	}
	if out = all[at:n:n]; n >= block {
		all = nil
	}
	return out, all
}

// addZeros takes n whole cells of zeros in a row.
func (l *chunkList) addZeros(first, n int64) {
	if !l.keep {
		return
	}
	grid := l.x.Grid
	zeros := make([]Extent, n)
	for i := range zeros {
		cell := first + int64(i)
		zeros[i] = Extent{Offset: cell * grid, Length: grid}
		l.x.Chunks = append(l.x.Chunks, Chunk{Cell: cell, Frame: -1, Zeros: zeros[i : i+1 : i+1]})
	}
}
