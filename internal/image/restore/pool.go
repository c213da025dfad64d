package restore

import "math/bits"

// pool hands out byte slices and takes them back, in size classes of a quarter of a power of two, so that frames, which
// all have different lengths, make no garbage. It is not safe for concurrent use.
type pool struct {
	free map[int][][]byte
	idle int64 // bytes in free
}

// class is the smallest size of the pool's that n bytes fit in.
func class(n int64) int64 {
	n = max(n, 4096)
	step := int64(1) << max(bits.Len64(uint64(n-1))-3, 0)
	return (n + step - 1) &^ (step - 1)
}

// get returns n bytes. When it must make them, idle buffers of more than limit bytes are left to the garbage collector
// first.
func (p *pool) get(n, limit int64) []byte {
	c := class(n)
	if l := p.free[int(c)]; len(l) > 0 {
		b := l[len(l)-1]
		p.free[int(c)] = l[:len(l)-1]
		p.idle -= c
		return b[:n]
	}
	if p.idle > limit {
		p.free, p.idle = nil, 0
	}
	return make([]byte, n, c)
}

// put takes b back. Idle buffers beyond the limit are left to the garbage collector.
func (p *pool) put(b []byte, limit int64) {
	c := int64(cap(b))
	if p.idle+c > limit {
		p.free, p.idle = nil, 0
	}
	if p.free == nil {
		p.free = map[int][][]byte{}
	}
	p.free[int(c)] = append(p.free[int(c)], b)
	p.idle += c
}
