package image

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// ErrNeedStored is returned by Builder.Add for a chunk without stored bytes that the builder has to store after all.
var ErrNeedStored = errors.New("the frame is not in the store")

// ChunkData is a chunk on its way into an image.
type ChunkData struct {
	Cell    int64
	Extents []Extent
	Zeros   []Extent
	Sum     [32]byte // BLAKE3-256 of the bytes of Extents
	Stored  []byte   // the zstd frame; nil when Has said that it is not needed, or when there are no Extents
}

// BuilderOptions of NewBuilder.
type BuilderOptions struct {
	DiskSize int64
	Grid     int64  // GridFor(DiskSize) when 0
	Parent   string // the image whose frames are preferred where the store has one more than once; may be empty
	// From says of which images frames may be taken; nil: of all.
	From func(*Config) bool
	// Without are the digests of blobs of which no frames are taken, because they are damaged; nor are they of those
	// that the store remembers as such.
	Without []string
}

// Builder makes an image out of chunks, in the order of the disk. Frames that the store has are referred to, the others
// go into one new blob. Nothing is visible in the store before Commit, and nothing of it is lost after; Abort leaves
// nothing behind. Has may be called from any goroutine, the other methods from one at a time.
type Builder struct {
	s     *Store
	use   *os.File // keeps GC away
	known map[frameKey]place
	blobs []ocispec.Descriptor // of the known frames
	index Index                // frames, without their chunks: those are written as they come
	w     chunkWriter          // of the chunks
	order map[int]int          // number of a known blob -> its number in the new image
	mu    sync.Mutex
	mine  map[frameKey]int32 // frames of the new image
	data  *blobWriter        // made with the first frame that is not known
	out   *bufio.Writer
	fresh int // number of the new blob in the new image, -1 while there is none
	added int64
	old   int // how many blobs of other images may be referred to
	done  bool
}

type frameKey struct {
	sum  [32]byte
	size int64
}

// place is where a known frame lies.
type place struct {
	blob   int32
	offset int64
	length int64
	crc    uint32
}

// NewBuilder starts an image. Commit or Abort must be called.
func (s *Store) NewBuilder(o BuilderOptions) (*Builder, error) {
	if o.Grid == 0 {
		o.Grid = GridFor(o.DiskSize)
	}
	if err := CheckGrid(o.Grid); err != nil {
		return nil, err
	}
	if o.DiskSize < 0 || o.DiskSize > maxDisk {
		return nil, fmt.Errorf("a disk of %d bytes", o.DiskSize)
	}
	use, err := s.lock(lockUse, unix.LOCK_SH)
	if err != nil {
		return nil, err
	}
	b := &Builder{
		s: s, use: use, known: map[frameKey]place{}, order: map[int]int{}, mine: map[frameKey]int32{}, fresh: -1,
		old:   MaxBlobs - 1, // one is for the new blob
		index: Index{DiskSize: o.DiskSize, Grid: o.Grid}, w: newChunkWriter(o.DiskSize, o.Grid),
	}
	err = s.folders()
	if err == nil {
		err = b.load(o)
	}
	if err != nil {
		b.Abort()
		return nil, err
	}
	return b, nil
}

// Has reports whether bytes with this sum and length need not be compressed: the store has a frame of them, or this
// image has.
func (b *Builder) Has(sum [32]byte, size int64) bool {
	k := frameKey{sum, size}
	if _, ok := b.known[k]; ok {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	_, ok := b.mine[k]
	return ok
}

// Add takes the next chunk. ErrNeedStored, which changes nothing, asks for the same chunk again with its stored bytes.
func (b *Builder) Add(c ChunkData) error {
	var size int64
	for _, e := range c.Extents {
		size += e.Length
	}
	if c.Cell <= b.w.cell {
		return fmt.Errorf("cell %d after cell %d", c.Cell, b.w.cell)
	}
	if err := b.room(3 + 2*int64(len(c.Extents)+len(c.Zeros))); err != nil {
		return err
	}
	chunk := Chunk{Cell: c.Cell, Frame: -1, Extents: c.Extents, Zeros: c.Zeros}
	var sum [32]byte
	if size > 0 {
		f, err := b.frame(frameKey{c.Sum, size}, c.Stored)
		if err != nil {
			return err
		}
		chunk.Frame, sum = f, c.Sum
	}
	b.w.add(&chunk, sum)
	return b.room(0)
}

// AddZeros takes n whole cells of zeros in a row, from cell first on, as Add would one by one.
func (b *Builder) AddZeros(first, n int64) error {
	if err := b.w.next(first, n); err != nil {
		return err
	}
	if err := b.room(n * int64(len(zeroRecord(b.w.grid)))); err != nil {
		return err
	}
	b.w.addZeros(first, n)
	return nil
}

// room fails as soon as the index, with so many bytes more, cannot become small enough any more, not when the whole
// disk was read.
func (b *Builder) room(more int64) error {
	if int64(len(b.index.Frames))*frameLeast+int64(len(b.w.records))+more > MaxIndex {
		return b.index.tooLarge()
	}
	return nil
}

// frame returns the number of the frame, and stores it where neither the image nor the store has it.
func (b *Builder) frame(k frameKey, stored []byte) (int32, error) {
	if f, ok := b.mine[k]; ok { // only this goroutine writes to mine
		return f, nil
	}
	f := Frame{Object: b.index.ObjectSize(), Size: k.size, Sum: k.sum}
	if p, ok := b.known[k]; ok && b.refer(int(p.blob)) {
		f.Blob, f.Offset, f.Length, f.CRC = b.order[int(p.blob)], p.offset, p.length, p.crc
	} else {
		if stored == nil {
			return 0, ErrNeedStored
		}
		if int64(len(stored)) > maxStored(k.size) {
			return 0, fmt.Errorf("a frame of %d bytes for %d bytes of the disk", len(stored), k.size)
		}
		if err := b.store(stored); err != nil {
			return 0, err
		}
		f.Blob, f.Offset, f.Length, f.CRC = b.fresh, b.added-int64(len(stored)), int64(len(stored)), Checksum(stored)
	}
	n := b.index.AddFrame(f)
	b.mu.Lock()
	b.mine[k] = n
	b.mu.Unlock()
	return n, nil
}

// refer gives a known blob a number in the new image. It refuses when the image would then have too many.
func (b *Builder) refer(blob int) bool {
	if _, ok := b.order[blob]; ok {
		return true
	}
	if len(b.order) >= b.old {
		return false
	}
	b.order[blob] = b.index.Blobs
	b.index.Blobs++
	return true
}

func (b *Builder) store(stored []byte) error {
	if b.data == nil {
		w, err := b.s.newBlob()
		if err != nil {
			return err
		}
		b.data, b.out = w, bufio.NewWriterSize(w, 1<<20)
		b.fresh = b.index.Blobs
		b.index.Blobs++
	}
	if _, err := b.out.Write(stored); err != nil {
		return err
	}
	b.added += int64(len(stored))
	return nil
}

// Added is the number of bytes of frames that the store did not have.
func (b *Builder) Added() int64 { return b.added }

// Expect makes room for the records of so many chunks: growing by and by takes twice as much.
func (b *Builder) Expect(chunks int) {
	b.w.records = slices.Grow(b.w.records, min(chunks*len(zeroRecord(b.w.grid)), MaxIndex))
}

// ObjectSize is the length of the image's object as far as it is built.
func (b *Builder) ObjectSize() int64 { return b.index.ObjectSize() }

// Commit completes the config from the index, stores everything and gives the image the name, unless that is empty.
// created and notes go beside the name: they do not change the digest.
func (b *Builder) Commit(cfg *Config, name string, created time.Time, notes map[string]string) (digest string,
	err error) {
	defer b.Abort()
	if name != "" {
		if err := b.s.NameFree(name); err != nil {
			return "", err
		}
	}
	b.complete(cfg)
	index, err := b.marshal()
	if err != nil {
		return "", err
	}
	if _, err := readIndex(index, false); err != nil {
		return "", fmt.Errorf("the chunks do not make an image: %w", err)
	}
	config, err := cfg.Marshal()
	if err != nil {
		return "", err
	}
	manifest, err := b.put(config, index)
	if err != nil {
		return "", err
	}
	return b.s.addEntry(manifest, name, created, notes)
}

func (b *Builder) complete(cfg *Config) {
	cfg.V, cfg.DiskSize = ConfigVersion, b.index.DiskSize
	if cfg.Origin != nil {
		cfg.V = PartitionVersion
	}
	cfg.Chunks, cfg.Stored, cfg.Zeros = b.w.chunks, b.w.stored, b.w.zeros
	content := b.w.content.sum()
	cfg.Content = hex.EncodeToString(content[:])
}

// marshal makes the index blob, after which frames and records are gone.
func (b *Builder) marshal() ([]byte, error) {
	room := indexHeader + len(b.index.Frames)*(frameLeast+8) + len(b.w.records)
	index, err := b.index.appendHead(make([]byte, 0, room), b.w.chunks)
	if err != nil {
		return nil, err
	}
	index = append(index, b.w.records...)
	if len(index) > MaxIndex {
		return nil, b.index.tooLarge()
	}
	b.index.Frames, b.w.records = nil, nil
	return index, nil
}

// put stores the blobs, the manifest last, and flushes their names.
func (b *Builder) put(config, index []byte) (manifest []byte, err error) {
	data := make([]ocispec.Descriptor, b.index.Blobs)
	for known, n := range b.order {
		data[n] = b.blobs[known]
	}
	if b.data != nil {
		if err := b.out.Flush(); err != nil {
			return nil, err
		}
		size := b.data.size
		digest, err := b.data.commit()
		if err != nil {
			return nil, err
		}
		data[b.fresh] = descriptor(DataType, digest, size)
	}
	configDigest, err := b.s.putBlob(config)
	if err != nil {
		return nil, err
	}
	indexDigest, err := b.s.putBlob(index)
	if err != nil {
		return nil, err
	}
	manifest, err = marshalManifest(descriptor(ConfigType, configDigest, int64(len(config))),
		descriptor(IndexType, indexDigest, int64(len(index))), data)
	if err != nil {
		return nil, err
	}
	if _, err := parseManifest(manifest); err != nil {
		return nil, err
	}
	if _, err := b.s.putBlob(manifest); err != nil {
		return nil, err
	}
	return manifest, b.s.syncBlobs()
}

// Abort gives the image up. After Commit it does nothing.
func (b *Builder) Abort() {
	if b.done {
		return
	}
	b.done = true
	if b.data != nil {
		b.data.abort()
	}
	b.use.Close()
}
