package image

import (
	"fmt"
	"maps"
	"slices"
)

// load learns the frames of the images of the store: the parent first, then the others in the order of the list, so
// that the choice among equal frames does not depend on chance. An image that cannot be read is passed over.
func (b *Builder) load(o BuilderOptions) error {
	entries, err := b.s.List()
	if err != nil {
		return err
	}
	without := slices.Concat(o.Without, slices.Collect(maps.Keys(b.s.Damaged())))
	var refs []string
	if o.Parent != "" {
		p, err := b.s.Resolve(o.Parent)
		if err != nil {
			return fmt.Errorf("parent: %w", err)
		}
		refs = append(refs, p)
	}
	for _, e := range entries {
		refs = append(refs, e.Digest)
	}
	seen := map[string]bool{}
	numbers := map[string]int32{}
	for _, ref := range refs {
		if seen[ref] {
			continue
		}
		seen[ref] = true
		m, err := b.s.Open(ref)
		if err != nil {
			continue
		}
		if o.From == nil || o.From(m.config) {
			b.learn(m, numbers, without)
		}
		m.Close()
	}
	return nil
}

// maxKnown bounds the number of frames of the store that a builder remembers: about 100 bytes each.
const maxKnown = 1 << 20

func (b *Builder) learn(m *Image, numbers map[string]int32, without []string) {
	local := make([]int32, m.index.Blobs)
	for i, d := range m.manifest.Layers[1:] {
		if slices.Contains(without, string(d.Digest)) {
			local[i] = -1
			continue
		}
		n, ok := numbers[string(d.Digest)]
		if !ok {
			n = int32(len(b.blobs))
			numbers[string(d.Digest)] = n
			b.blobs = append(b.blobs, descriptor(DataType, string(d.Digest), d.Size))
		}
		local[i] = n
	}
	for i := range m.index.Frames {
		f := &m.index.Frames[i]
		if local[f.Blob] < 0 {
			continue
		}
		k := frameKey{f.Sum, f.Size}
		if _, ok := b.known[k]; ok || len(b.known) >= maxKnown {
			continue
		}
		b.known[k] = place{blob: local[f.Blob], offset: f.Offset, length: f.Length, crc: f.CRC}
	}
}
