package imaging

import (
	"sort"

	"github.com/diskcast/diskcast/internal/cast"
)

// rangeSet is a set of bytes as sorted, disjoint, non-adjacent runs.
type rangeSet []cast.Range

// add puts [off, off+n) into the set.
func (s rangeSet) add(off, n int64) rangeSet {
	if n <= 0 {
		return s
	}
	end := off + n
	// The runs [i,j) touch the new one and melt into it.
	i := sort.Search(len(s), func(k int) bool { return s[k].Offset+s[k].Length >= off })
	j := i
	for ; j < len(s) && s[j].Offset <= end; j++ {
		off = min(off, s[j].Offset)
		end = max(end, s[j].Offset+s[j].Length)
	}
	out := append(rangeSet(nil), s[:i]...)
	out = append(out, cast.Range{Offset: off, Length: end - off})
	return append(out, s[j:]...)
}

// remove takes [off, off+n) out of the set.
func (s rangeSet) remove(off, n int64) rangeSet {
	if n <= 0 {
		return s
	}
	end := off + n
	var out rangeSet
	for _, r := range s {
		rEnd := r.Offset + r.Length
		if rEnd <= off || r.Offset >= end {
			out = append(out, r)
			continue
		}
		if r.Offset < off {
			out = append(out, cast.Range{Offset: r.Offset, Length: off - r.Offset})
		}
		if rEnd > end {
			out = append(out, cast.Range{Offset: end, Length: rEnd - end})
		}
	}
	return out
}

// complement is what of [0, size) is not in the set.
func (s rangeSet) complement(size int64) rangeSet {
	out := rangeSet(nil).add(0, size)
	for _, r := range s {
		out = out.remove(r.Offset, r.Length)
	}
	return out
}
