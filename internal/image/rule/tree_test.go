package rule

import (
	"math/rand/v2"

	"github.com/diskcast/diskcast/internal/volume"
)

// leave notes how much of a partition may be left out.
func (d *disk) leave(partition int, n int64) {
	if d.leaves == nil {
		d.leaves = map[int]int64{}
	}
	d.leaves[partition] = n
	d.mayLeave += n
}

// tree makes of a partition of random bytes, now and then, the hash tree of dm-verity of another one: nothing is free
// in one that is as large as what the tree covers.
func (d *disk) tree(r *rand.Rand) {
	for i, c := range d.contents {
		if c.how != "random" || r.IntN(3) > 0 {
			continue
		}
		blocks := 1 + r.Uint64N(8192)
		sb := d.bytes[d.parts[i].start:][:512]
		clear(sb)
		copy(sb, "verity\x00\x00\x01\x00\x00\x00\x01")
		fill16(r, sb[16:32])
		copy(sb[32:], "sha256")
		le.PutUint32(sb[64:], 4096)
		le.PutUint32(sb[68:], 4096)
		le.PutUint64(sb[72:], blocks)
		d.note("partition %d is a hash tree of %d bytes", i+1, blocks*4096)
		for j, p := range d.parts {
			if j != i && uint64(p.size) >= blocks*4096 {
				d.free = volume.Subtract(d.free, []volume.Extent{{Offset: p.start, Length: p.size}})
				d.mayLeave -= d.leaves[j]
				delete(d.leaves, j)
			}
		}
	}
}
