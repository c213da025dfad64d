package zenc

import "math/bits"

// lazy follows the chain of positions with the same first bytes for the best match, and takes it only when the next two
// positions have none that saves more.
type lazy struct {
	head []uint32 // the latest position of each hash
	prev []uint32 // of each position, the one before it with the same hash
	next int      // positions below are in the chains
}

const (
	chainBits  = 17
	chainBytes = 5
	chainEnd   = 1<<32 - 1
	depth      = 8 // positions of a chain that are looked at
	ahead      = 2 // positions that are looked at before a match is taken
	enough     = 256
	lazySkip   = 8 // as fastSkip
)

func (z *lazy) begin(n int) int {
	if z.head == nil {
		z.head = make([]uint32, 1<<chainBits)
	}
	for i := range z.head {
		z.head[i] = chainEnd
	}
	if len(z.prev) < n {
		z.prev = make([]uint32, n)
	}
	z.next = 0
	return n
}

// chain links the positions in front of s and returns the latest with the hash of s.
func (z *lazy) chain(src []byte, s int) uint32 {
	for ; z.next < s; z.next++ {
		h := slot(hash(load64(src, z.next), chainBytes), chainBits)
		z.prev[z.next] = z.head[h]
		z.head[h] = uint32(z.next)
	}
	return z.head[slot(hash(load64(src, s), chainBytes), chainBits)]
}

// match is one that was found. What it saves is about two bits for each unit.
type match struct {
	n      int
	offset uint32 // as a sequence has it
	saves  int
}

// best finds the best match at s, where literals says that there are some in front of it.
func (z *lazy) best(b *block, src []byte, s, end int, literals bool) (m match) {
	u := load32(src, s)
	reps := b.rep[:]
	if !literals {
		reps = reps[1:] // the values 1 and 2 mean these
	}
	for i, r := range reps {
		from := s - int(r)
		if from < 0 || (load32(src, from)^u)<<8 != 0 {
			continue
		}
		n := minMatch + matchLen(src, from+minMatch, s+minMatch, end)
		if saves := 4*n - 2*i; n > m.n && saves > m.saves {
			m = match{n, uint32(i + 1), saves}
		}
	}
	longest := max(m.n, 4)
	from := z.chain(src, s)
	for range depth {
		if from == chainEnd || s+longest >= end {
			break
		}
		if load32(src, int(from)+longest-3) == load32(src, s+longest-3) {
			if n := matchLen(src, int(from), s, end); n > longest {
				longest = n
				offset := uint32(s) - from + 3
				if saves := 4*n - bits.Len32(offset) + 4; saves > m.saves {
					m = match{n, offset, saves}
				}
			}
		}
		from = z.prev[from]
	}
	return m
}

func (z *lazy) find(b *block, src []byte, at, end int) {
	anchor, s, last := at, at, end-word
	for s < last {
		m := z.best(b, src, s, end, s > anchor)
		if m.n == 0 {
			s += 1 + (s-anchor)>>lazySkip
			continue
		}
		at := s
		for more := 1; more <= ahead && m.n < enough && s+1 < last; more++ {
			s++
			if x := z.best(b, src, s, end, true); x.saves > m.saves+1+3*more {
				m, at, more = x, s, 0
			}
		}
		s = at
		if m.offset > 3 {
			for from := s - int(m.offset-3); s > anchor && from > 0 && src[s-1] == src[from-1]; from-- {
				s, m.n = s-1, m.n+1
			}
		}
		b.emit(src, anchor, s, m.n, m.offset)
		b.remember(m.offset, s > anchor)
		s += m.n
		anchor = s
	}
	b.add(src, anchor, end)
}
