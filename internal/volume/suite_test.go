package volume_test

import (
	"io"
	"testing"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// The questions that every file system's reader is asked. The table of readers is in readers_test.go; what is peculiar
// to one format is tested beside its reader.

// opener is the Open of a reader.
type opener func(r io.ReaderAt, size int64) (volume.FileSystem, error)

func of[F volume.FileSystem](open func(io.ReaderAt, int64) (F, error)) opener {
	return func(r io.ReaderAt, size int64) (volume.FileSystem, error) {
		fs, err := open(r, size)
		if err != nil {
			return nil, err
		}
		return fs, nil
	}
}

// reader is a row of the table.
type reader struct {
	name string // of its package, where its seeds are
	open opener
	size int64 // bytes of a disk, where a variant does not say
	mb   int   // MiB of files, where a variant does not say
	make func(t *testing.T, v variant, size int64) (image string)
	medium
	check     func(t *testing.T, image string) // fails unless its own checker finds nothing wrong
	counts    func(t *testing.T, m mapped)     // holds the map against what its own tools say of it
	partclone *partclone
	notes     int   // what the operator is told of a clean one
	super     int64 // where the superblock is, in bytes
	damage    []damage
	dirty     *dirt // nil: only the kernel's own crash makes one, see the reader's package
	whole     bool  // a dirty one is captured whole
	variants  []variant
	recorded  []variant // seeds of the fuzz target that are made of empty ones
}

// variant is one of the forms that its maker gives to a file system.
type variant struct {
	name, options string
	size          int64 // bytes
	mb            int   // MiB of files
	typ           string
	label         string // if not the maker's usual one
	mount         string // options
	then          string // what is done with it when it is filled
	notes         int    // what the operator is told besides
	partclone     bool   // its map is compared with partclone's
	seed          string // of the fuzz target
}

const (
	none   = -1 // MiB: no files at all
	fewest = -2 // MiB: a Fill of 0
)

// partclone names the program that makes a map of its own, and what ours may have that it has not, and the reverse.
type partclone struct {
	tool string
	may  func(t *testing.T, m mapped, block int64) (more, less int64)
}

// damage is what makes a superblock unfit, and the error that follows.
type damage struct {
	name, options string
	at            int64
	patch         string // these bytes instead,
	flip          byte   // or these bits of one byte the other way round
	want          string
}

// notThis is the error where the signature is absent; every other one means that it is there.
var notThis = volume.ErrNotThis.Error()

// dirt makes a file system dirty. What is listed is there when the whole of it is restored and mended.
type dirt struct {
	options string
	size    int64
	do      func(t *testing.T, image string) (list string)
	mend    func(t *testing.T, image string)
	refused string // the error, if it is not captured at all by its map
}

// mapped is a file system that was made, and what its reader says of it.
type mapped struct {
	image   string
	size    int64
	variant variant
	fs      volume.FileSystem
	extents []volume.Extent
}

func (m mapped) bytes() int64 { return volume.Bytes(m.extents) }

func (r reader) megabytes(v variant) int {
	switch v.mb {
	case 0:
		return r.mb
	case fewest:
		return 0
	}
	return v.mb
}

// made makes a variant, which is still empty unless its maker takes a tree.
func (r reader) made(t *testing.T, v variant) string {
	t.Helper()
	if v.size == 0 {
		v.size = r.size
	}
	v.mb = r.megabytes(v)
	return r.make(t, v, v.size)
}

// plain makes the first variant, or the one with these options, without files.
func (r reader) plain(t *testing.T, options string) string {
	t.Helper()
	v := r.variants[0]
	if options != "" {
		v = variant{options: options}
	}
	v.mb = none
	return r.made(t, v)
}

func TestReaders(t *testing.T) {
	trees.owner = t
	for _, r := range readers {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			for _, v := range r.variants {
				t.Run(v.name, func(t *testing.T) {
					t.Parallel()
					r.clean(t, v)
				})
			}
			t.Run("dirty", r.unclean)
			t.Run("damaged", r.damaged)
			t.Run("cut", r.cut)
			t.Run("larger partition", r.larger)
			t.Run("seeds", r.seeds)
			t.Run("record seeds", r.record)
		})
	}
}

// clean fills a file system and unmounts it. Its map is held against what foreign programs say; nothing but the map is
// restored, onto random bytes, and its own checker and a listing of all files say whether that was enough.
func (r reader) clean(t *testing.T, v variant) {
	image := r.made(t, v)
	list, filled := "", v
	filled.mb = r.megabytes(v)
	if r.fill != nil {
		list = r.fill(t, image, filled)
	}
	fs, extents := volumetest.Load(t, image, r.open)
	m := mapped{image: image, variant: v, fs: fs, extents: extents}
	_, m.size = volumetest.Open(t, image)
	label := volumetest.Label(r.name)
	if v.label != "" {
		label = v.label
	}
	info := fs.Info()
	if !info.Clean || len(info.Notes) != r.notes+v.notes || info.Label != label || v.typ != "" && fs.Type() != v.typ {
		t.Errorf("%s %+v", fs.Type(), info)
	}
	volumetest.LikeBlkid(t, image, fs)
	if r.counts != nil {
		r.counts(t, m)
	}
	if v.partclone {
		r.compare(t, m)
	}
	if v.seed != "" {
		volumetest.Record(t, r.seed(v.seed), image, volumetest.Reads(r.open))
	}
	restored := volumetest.Restore(t, image, extents)
	volumetest.LikeBlkid(t, restored, fs)
	if r.check != nil {
		r.check(t, restored)
	}
	if r.list == nil {
		return
	}
	got := r.list(t, restored, v)
	if got != list { // whose fault it is: the map's, or the guest's that listed
		again := r.list(t, image, v)
		t.Logf("listed again, the original is as the restored one: %t, as when it was filled: %t", again == got,
			again == list)
	}
	volumetest.Same(t, list, got)
}

// compare holds the map against partclone's.
func (r reader) compare(t *testing.T, m mapped) {
	t.Helper()
	theirs, block := volumetest.Partclone(t, r.partclone.tool, m.image)
	more, less := volumetest.Compare(m.extents, theirs)
	t.Logf("partclone %d bytes, ours %d: %d only ours, %d only theirs", volume.Bytes(theirs), m.bytes(), more, less)
	var mayMore, mayLess int64
	if r.partclone.may != nil {
		mayMore, mayLess = r.partclone.may(t, m, block)
	}
	if more > mayMore || less > mayLess {
		t.Errorf("only ours: %d bytes of at most %d; only theirs: %d of at most %d", more, mayMore, less, mayLess)
	}
}
