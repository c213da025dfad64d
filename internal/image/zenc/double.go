package zenc

// double has two tables: of positions by their first eight bytes, which lead to long matches, and by their first five,
// for what repeats only in short.
type double struct {
	long  [1 << longBits]uint32
	short [1 << shortBits]uint32
}

const (
	longBits   = 17
	longBytes  = 8
	shortBits  = 14
	shortBytes = 5
	doubleSkip = 7 // as fastSkip
)

func (d *double) begin(n int) int {
	*d = double{}
	return min(n, span)
}

// putLong makes the position of the bytes u the latest, putShort in the other table.
func (d *double) putLong(u uint64, at int) {
	h := hash(u, longBytes)
	d.long[slot(h, longBits)] = entry(at, h)
}

func (d *double) putShort(u uint64, at int) {
	h := hash(u, shortBytes)
	d.short[slot(h, shortBits)] = entry(at, h)
}

func (d *double) find(b *block, src []byte, at, end int) {
	anchor, s, last := at, max(at, 1), end-word
	rep1, rep2 := int(b.rep[0]), int(b.rep[1])
	for s < last {
		u := load64(src, s)
		h, k := hash(u, longBytes), hash(u, shortBytes)
		l, m := &d.long[slot(h, longBits)], &d.short[slot(k, shortBits)]
		oldLong, oldShort, nowLong, nowShort := *l, *m, entry(s, h), entry(s, k)
		*l, *m = nowLong, nowShort
		first := s
		if r := s + 1 - rep1; r >= 0 && load32(src, r) == uint32(u>>8) {
			s++
			n := 4 + matchLen(src, r+4, s+4, end)
			b.emit(src, anchor, s, n, 1)
			s += n
		} else {
			from, n := place(oldLong), 0
			if alike(oldLong, nowLong) && load64(src, from) == u && from < s {
				n = longBytes + matchLen(src, from+longBytes, s+longBytes, end)
			} else if from = place(oldShort); alike(oldShort, nowShort) && load32(src, from) == uint32(u) && from < s {
				n = 4 + matchLen(src, from+4, s+4, end)
				// A long match at the next position may be better.
				u = load64(src, s+1)
				h = hash(u, longBytes)
				l = &d.long[slot(h, longBits)]
				oldLong, nowLong = *l, entry(s+1, h)
				*l = nowLong
				if f := place(oldLong); alike(oldLong, nowLong) && load64(src, f) == u && f <= s {
					if m := longBytes + matchLen(src, f+longBytes, s+1+longBytes, end); m > n {
						s, from, n = s+1, f, m
					}
				}
			} else {
				s += 1 + (s-anchor)>>doubleSkip
				continue
			}
			for s > anchor && from > 0 && src[s-1] == src[from-1] {
				s, from, n = s-1, from-1, n+1
			}
			rep1, rep2 = s-from, rep1
			b.emit(src, anchor, s, n, uint32(rep1)+3)
			b.remember(uint32(rep1)+3, s > anchor)
			s += n
		}
		anchor = s
		if s >= last {
			break
		}
		u = load64(src, first+2)
		d.putLong(u, first+2)
		d.putShort(u, first+2)
		for ; s < last; anchor = s {
			u = load64(src, s-2)
			d.putLong(u, s-2)
			d.putShort(u, s-2)
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
