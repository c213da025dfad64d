package cover

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"io"
	"strings"

	"github.com/diskcast/diskcast/internal/volume"
)

// hashes are the algorithms that veritysetup is used with.
var hashes = map[string]func() hash.Hash{"sha1": sha1.New, "sha256": sha256.New, "sha512": sha512.New}

// tree is a hash tree of dm-verity on a device of its own.
type tree struct {
	r                    io.ReaderAt
	size                 int64
	new                  func() hash.Hash
	salt                 []byte
	dataBlock, hashBlock int64
	blocks               int64 // of data
}

const maxBlock = 64 << 10

// verity reads a superblock: u32 version and type of the hashes, UUID, name of the algorithm (32), u32 bytes of a data
// and of a hash block, u64 data blocks, u16 bytes of salt, 6 reserved bytes, salt (256).
func verity(r io.ReaderAt, size int64, b []byte) *Cover {
	t := &tree{r: r, size: size, dataBlock: int64(le.Uint32(b[64:])), hashBlock: int64(le.Uint32(b[68:]))}
	name, _, _ := strings.Cut(string(b[32:64]), "\x00")
	t.new = hashes[name]
	c := &Cover{What: "a dm-verity hash tree"}
	sound := func(n int64) bool { return n >= 512 && n <= maxBlock && n&(n-1) == 0 }
	if le.Uint32(b[8:]) != 1 || !sound(t.dataBlock) || !sound(t.hashBlock) {
		return c
	}
	c.Bytes = times(le.Uint64(b[72:]), uint64(t.dataBlock))
	salt := int(le.Uint16(b[80:]))
	if c.Bytes == 0 || le.Uint32(b[12:]) != 1 || t.new == nil || salt > 256 {
		return c
	}
	t.blocks, t.salt = c.Bytes/t.dataBlock, bytes.Clone(b[88:88+salt])
	if t.blocks == 1 { // the root hash is all of the tree
		return c
	}
	c.tree = t
	return c
}

// matches compares the first block of leaves with the data blocks that it vouches for. The levels lie behind the
// superblock, the root's block first and the leaves last; a digest takes a power of two bytes, and is of the salt and
// the block.
func (t *tree) matches(data io.ReaderAt, size int64) (bool, error) {
	h := t.new()
	digest := int64(1)
	for digest < int64(h.Size()) {
		digest *= 2
	}
	each := t.hashBlock / digest // digests in a block
	at := max(t.hashBlock, headSize)
	var levels []int64 // blocks of each, leaves first
	for n := t.blocks; ; {
		n = (n + each - 1) / each
		levels = append(levels, n)
		if n == 1 {
			break
		}
	}
	for _, n := range levels[1:] {
		at += n * t.hashBlock
	}
	leaves := make([]byte, t.hashBlock)
	if err := volume.ReadAt(t.r, t.size, at, leaves); err != nil {
		return false, err
	}
	block := make([]byte, t.dataBlock)
	for i := range min(each, t.blocks) {
		if err := volume.ReadAt(data, size, i*t.dataBlock, block); err != nil {
			return false, err
		}
		h.Reset()
		h.Write(t.salt)
		h.Write(block)
		if !bytes.Equal(h.Sum(nil), leaves[i*digest:][:h.Size()]) {
			return false, nil
		}
	}
	return true, nil
}
