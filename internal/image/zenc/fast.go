package zenc

// fast has one table, of positions by their first six bytes, and skips more and more while it finds nothing.
type fast struct {
	table [1 << fastBits]uint32
}

const (
	fastBits  = 15 // with 16 it is 2 % smaller and 5 % slower
	fastBytes = 6
	fastSkip  = 5 // one more position is skipped for each 1<<fastSkip bytes without a match
)

func (f *fast) begin(n int) int {
	clear(f.table[:])
	return min(n, span)
}

func (f *fast) find(b *block, src []byte, at, end int) {
	anchor, s, last := at, max(at, 1), end-word
	rep1, rep2 := int(b.rep[0]), int(b.rep[1])
	for s < last {
		u := load64(src, s)
		h := hash(u, fastBytes)
		e := &f.table[slot(h, fastBits)]
		old, now := *e, entry(s, h)
		*e = now
		from := place(old)
		if r := s + 1 - rep1; r >= 0 && load32(src, r) == uint32(u>>8) {
			s++
			n := 4 + matchLen(src, r+4, s+4, end)
			b.emit(src, anchor, s, n, 1)
			s += n
		} else if alike(old, now) && load64(src, from)<<16 == u<<16 && from < s {
			n := fastBytes + matchLen(src, from+fastBytes, s+fastBytes, end)
			for s > anchor && from > 0 && src[s-1] == src[from-1] {
				s, from, n = s-1, from-1, n+1
			}
			rep1, rep2 = s-from, rep1
			b.emit(src, anchor, s, n, uint32(rep1)+3)
			b.remember(uint32(rep1)+3, s > anchor)
			s += n
		} else {
			s += 1 + (s-anchor)>>fastSkip
			continue
		}
		for anchor = s; s < last; anchor = s {
			u = load64(src, s-2)
			h = hash(u, fastBytes)
			f.table[slot(h, fastBits)] = entry(s-2, h)
			if rep2 > s || load32(src, s-rep2) != uint32(u>>16) {
				break
			}
			n := 4 + matchLen(src, s-rep2+4, s+4, end)
			b.emit(src, s, s, n, 1) // behind no literals that is the second offset
			b.remember(1, false)
			rep1, rep2 = rep2, rep1
			s += n
		}
	}
	b.add(src, anchor, end)
}
