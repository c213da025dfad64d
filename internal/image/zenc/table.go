package zenc

// An entry of a table is a position and a tag: some more bits of the hash of the bytes there. So most positions whose
// bytes are others are told without loading those bytes, which often are not in the cache.
const (
	positionBits = 22
	tagBits      = 32 - positionBits
	// span is how many positions an entry can tell.
	span = 1 << positionBits
)

// hash mixes the first n of the eight bytes u.
func hash(u uint64, n uint) uint64 { return u << (64 - 8*n) * 0x9E3779B185EBCA87 }

// slot is the place in a table of 1<<bits entries of a hash.
func slot(h uint64, bits uint) uint64 { return h >> (64 - bits) }

// entry is that of a position with a hash.
func entry(at int, h uint64) uint32 { return uint32(at)<<tagBits | uint32(h>>32)%(1<<tagBits) }

// place is an entry's position. An empty entry says 0, which is a position like others.
func place(e uint32) int { return int(e >> tagBits) }

// alike reports whether two entries have the same tag.
func alike(a, b uint32) bool { return (a^b)%(1<<tagBits) == 0 }
