// Package span is runs of bytes and sets of them: extents of a disk, ranges of an object.
package span

import "slices"

// Span is a run of bytes.
type Span struct {
	Offset int64 `json:"offset"`
	Length int64 `json:"length"`
}

// End returns the offset of the first byte after the run.
func (s Span) End() int64 { return s.Offset + s.Length }

// Set is a set of bytes: runs in ascending order that neither overlap nor touch. The zero value is empty.
type Set []Span

// Add returns the set with n bytes from off; as with append, s is not to be used afterwards.
func (s Set) Add(off, n int64) Set {
	s, _ = s.Take(off, n, nil)
	return s
}

// Take is Add, and appends to fresh what of the n bytes was not in the set before.
func (s Set) Take(off, n int64, fresh []Span) (Set, []Span) {
	if n <= 0 {
		return s, fresh
	}
	// The runs [i,j) overlap or touch the new one and melt into it.
	i, end := s.after(off), off+n
	if i > 0 && s[i-1].End() == off {
		i--
	}
	j, at, from, to := i, off, off, end
	for ; j < len(s) && s[j].Offset <= end; j++ {
		if s[j].Offset > at {
			fresh = append(fresh, Span{Offset: at, Length: s[j].Offset - at})
		}
		at = max(at, s[j].End())
		from, to = min(from, s[j].Offset), max(to, s[j].End())
	}
	if at < end {
		fresh = append(fresh, Span{Offset: at, Length: end - at})
	}
	return slices.Replace(s, i, j, Span{Offset: from, Length: to - from}), fresh
}

// Remove returns the set without n bytes from off. s stays as it is.
func (s Set) Remove(off, n int64) Set {
	if n <= 0 {
		return s
	}
	return Subtract(s, []Span{{Offset: off, Length: n}})
}

// Around returns the run of the set that has the byte at off; an empty one when there is none.
func (s Set) Around(off int64) Span {
	if i := s.after(off); i < len(s) && s[i].Offset <= off {
		return s[i]
	}
	return Span{}
}

// after is the index of the first run that ends after off.
func (s Set) after(off int64) int {
	i, _ := slices.BinarySearchFunc(s, off, func(x Span, off int64) int {
		if x.End() <= off {
			return -1
		}
		return 1
	})
	return i
}

// Invert returns what the set s does not cover of size bytes.
func Invert(s []Span, size int64) []Span {
	var out []Span
	at := int64(0)
	for _, e := range s {
		if e.Offset > at {
			out = append(out, Span{Offset: at, Length: min(e.Offset, size) - at})
		}
		at = max(at, e.End())
		if at >= size {
			return out
		}
	}
	if at < size {
		out = append(out, Span{Offset: at, Length: size - at})
	}
	return out
}

// Subtract returns what of the set a is not in the set b.
func Subtract(a, b []Span) []Span {
	var out []Span
	for _, e := range a {
		at := e.Offset
		for i := Set(b).after(at); i < len(b) && b[i].Offset < e.End(); i++ {
			if b[i].Offset > at {
				out = append(out, Span{Offset: at, Length: b[i].Offset - at})
			}
			at = max(at, b[i].End())
		}
		if at < e.End() {
			out = append(out, Span{Offset: at, Length: e.End() - at})
		}
	}
	return out
}
