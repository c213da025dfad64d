package convert

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/klauspost/compress/zstd"
)

// The source is docs/interop/qcow2.txt of QEMU.

var be = binary.BigEndian

const (
	qcowDirty, qcowCorrupt, qcowData, qcowCompression, qcowExtended = 1, 2, 4, 8, 16

	l1Offset    = 0x00fffffffffffe00
	l2Offset    = 0x00fffffffffffe00
	l2Zero      = 1
	l2Packed    = 1 << 62
	maxTables   = 64 // tables of pointers kept in memory
	maxL1       = 32 << 20
	maxClusters = 16 // unpacked clusters kept in memory
)

type qcow2 struct {
	f       *os.File
	file    int64 // bytes of the file
	size    int64
	bits    uint
	cluster int64
	perL2   int64
	l1      []uint64
	zstd    *zstd.Decoder // nil: deflate
	notes   []string

	mu     sync.Mutex
	tables map[int64][]uint64 // by their place in the file
	packed map[uint64][]byte  // by their entry

	runs []volume.Extent
}

func openQcow2(f *os.File) (Disk, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	q := &qcow2{f: f, file: info.Size(), tables: map[int64][]uint64{}, packed: map[uint64][]byte{}}
	if err := q.header(); err != nil {
		return nil, fmt.Errorf("qcow2: %w", err)
	}
	return q, nil
}

func (q *qcow2) header() error {
	head := make([]byte, 112)
	if n, err := q.f.ReadAt(head, 0); n < 72 {
		return short(err)
	}
	version := be.Uint32(head[4:])
	if version != 2 && version != 3 {
		return fmt.Errorf("%w: it is of version %d; %s", ErrFormat, version,
			convertBy("qemu-img convert -f qcow -O raw IN OUT"))
	}
	q.bits, q.size = uint(be.Uint32(head[20:])), int64(be.Uint64(head[24:]))
	switch {
	case be.Uint64(head[8:]) != 0 || be.Uint32(head[16:]) != 0:
		return fmt.Errorf("%w: it has a backing file; with that beside it, %s", ErrFormat, qemuImg)
	case be.Uint32(head[32:]) != 0:
		return fmt.Errorf("%w: it is encrypted; decrypt it with `qemu-img convert --object secret,id=k,file=KEYFILE "+
			"--image-opts "+
			"driver=qcow2,encrypt.key-secret=k,file.filename=IN -O raw OUT`, and take OUT", ErrFormat)
	case q.bits < 9 || q.bits > 21:
		return fmt.Errorf("clusters of 2^%d bytes", q.bits)
	case q.size < 1:
		return errors.New("its disk is empty")
	}
	if version == 3 {
		incompatible, length := be.Uint64(head[72:]), be.Uint32(head[100:])
		switch {
		case incompatible&qcowCorrupt != 0:
			return errors.New("it is marked corrupt; repair it with `qemu-img check -r all`")
		case incompatible&qcowData != 0:
			return fmt.Errorf("%w: its data are in another file; with that beside it, %s", ErrFormat, qemuImg)
		case incompatible&qcowExtended != 0:
			return fmt.Errorf("%w: it has extended L2 entries; %s", ErrFormat, qemuImg)
		case incompatible&^(qcowDirty|qcowCompression) != 0:
			return fmt.Errorf("%w: unknown incompatible features %#x; %s", ErrFormat, incompatible, qemuImg)
		}
		if incompatible&qcowCompression != 0 && length > 104 {
			switch head[104] {
			case 0:
			case 1:
				z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxWindow),
					zstd.WithDecoderMaxWindow(maxWindow))
				if err != nil {
					return err
				}
				q.zstd = z
			default:
				return fmt.Errorf("%w: compression type %d; %s", ErrFormat, head[104], qemuImg)
			}
		}
	}
	if snapshots := be.Uint32(head[60:]); snapshots > 0 {
		q.notes = append(q.notes, fmt.Sprintf("The file holds %d snapshots; its current state is taken.", snapshots))
	}
	q.cluster = 1 << q.bits
	q.perL2 = q.cluster / 8
	n, at := int64(be.Uint32(head[36:])), int64(be.Uint64(head[40:]))
	want := (q.size-1)/(q.cluster*q.perL2) + 1
	if n < want || want*8 > maxL1 || at < 0 || at > q.file-want*8 {
		return fmt.Errorf("its first table has %d entries at %d, for a disk of %d bytes", n, at, q.size)
	}
	var err error
	if q.l1, err = q.table(at, want); err != nil {
		return err
	}
	return q.survey()
}

// survey goes through all tables once: it collects the runs, and refuses a file that does not have all that its tables
// name.
func (q *qcow2) survey() error {
	runs := volume.NewRuns(q.size)
	for i := range int64(len(q.l1)) {
		t, err := q.l2(i)
		if err != nil {
			return err
		}
		for j, e := range t {
			at := (i*q.perL2 + int64(j)) * q.cluster
			if e&l2Packed == 0 && (e&l2Zero != 0 || e&l2Offset == 0) || at >= q.size {
				continue
			}
			if end := q.end(e, min(q.cluster, q.size-at)); end > q.file {
				return fmt.Errorf("it was cut: byte %d of the disk would be at %d of the file, which has %d bytes; "+
					"copy it again, and see `qemu-img check`", at, end, q.file)
			}
			runs.Add(at, q.cluster)
		}
	}
	q.runs = runs.Extents()
	return nil
}

// end is where the first n bytes of a cluster end in the file; of a compressed one, which may end before its last
// sector does, at least.
func (q *qcow2) end(e uint64, n int64) int64 {
	if e&l2Packed == 0 {
		return int64(e&l2Offset) + n
	}
	at, n := q.place(e)
	return at + n - 511
}

func (q *qcow2) table(at, n int64) ([]uint64, error) {
	p := make([]byte, 8*n)
	if _, err := q.f.ReadAt(p, at); err != nil {
		return nil, fmt.Errorf("table at %d: %w", at, short(err))
	}
	out := make([]uint64, n)
	for i := range out {
		out[i] = be.Uint64(p[8*i:])
	}
	return out, nil
}

// l2 returns a second table, from memory if possible; nil where there is none.
func (q *qcow2) l2(i int64) ([]uint64, error) {
	at := int64(q.l1[i] & l1Offset)
	if at == 0 {
		return nil, nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if t := q.tables[at]; t != nil {
		return t, nil
	}
	t, err := q.table(at, q.perL2)
	if err != nil {
		return nil, err
	}
	if len(q.tables) >= maxTables {
		clear(q.tables)
	}
	q.tables[at] = t
	return t, nil
}

// entry is what the tables say of the cluster that holds a byte: 0 when it is all zeros.
func (q *qcow2) entry(off int64) (uint64, error) {
	number := off >> q.bits
	t, err := q.l2(number / q.perL2)
	if t == nil || err != nil {
		return 0, err
	}
	e := t[number%q.perL2]
	if e&l2Packed == 0 && (e&l2Zero != 0 || e&l2Offset == 0) {
		return 0, nil
	}
	return e, nil
}

func (q *qcow2) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= q.size {
		return 0, io.EOF
	}
	var tail error
	if int64(len(p)) > q.size-off {
		p, tail = p[:q.size-off], io.EOF
	}
	done := 0
	for done < len(p) {
		at := off + int64(done)
		in := at & (q.cluster - 1)
		part := p[done:min(int64(len(p)), int64(done)+q.cluster-in)]
		e, err := q.entry(at)
		if err == nil {
			err = q.read(part, e, in)
		}
		if err != nil {
			return done, fmt.Errorf("qcow2: byte %d of the disk: %w", at, err)
		}
		done += len(part)
	}
	return done, tail
}

// read fills part from a cluster.
func (q *qcow2) read(part []byte, e uint64, in int64) error {
	switch {
	case e == 0:
		clear(part)
		return nil
	case e&l2Packed != 0:
		p, err := q.unpack(e)
		if err == nil {
			copy(part, p[in:])
		}
		return err
	}
	at := int64(e & l2Offset)
	if at > q.file {
		return fmt.Errorf("its cluster would be at %d of a file of %d bytes", at, q.file)
	}
	if _, err := q.f.ReadAt(part, at+in); err != nil {
		return short(err)
	}
	return nil
}

// place tells where a compressed cluster lies in the file: the lower bits of its entry are the place, the upper ones
// how many further sectors of 512 bytes it touches.
func (q *qcow2) place(e uint64) (at, n int64) {
	e &^= 3 << 62
	shift := 62 - (q.bits - 8)
	at = int64(e & (1<<shift - 1))
	return at, (int64(e>>shift)+1)*512 - at&511
}

// unpack reads a compressed cluster.
func (q *qcow2) unpack(e uint64) ([]byte, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if p := q.packed[e]; p != nil {
		return p, nil
	}
	at, n := q.place(e)
	if at >= q.file || n > 2*q.cluster {
		return nil, fmt.Errorf("its compressed cluster would be at %d of a file of %d bytes", at, q.file)
	}
	in := make([]byte, min(n, q.file-at))
	if _, err := q.f.ReadAt(in, at); err != nil {
		return nil, short(err)
	}
	out := make([]byte, q.cluster)
	var r io.Reader
	if q.zstd != nil {
		if err := q.zstd.Reset(bytes.NewReader(in)); err != nil {
			return nil, fmt.Errorf("compressed cluster: %w", err)
		}
		r = q.zstd
	} else {
		r = flate.NewReader(bytes.NewReader(in))
	}
	if _, err := io.ReadFull(r, out); err != nil {
		return nil, fmt.Errorf("compressed cluster: %w", err)
	}
	if len(q.packed) >= maxClusters {
		clear(q.packed)
	}
	q.packed[e] = out
	return out, nil
}

func (q *qcow2) Size() int64     { return q.size }
func (q *qcow2) SectorSize() int { return 512 }
func (q *qcow2) Format() string  { return "qcow2" }
func (q *qcow2) Notes() []string { return slices.Clone(q.notes) }

func (q *qcow2) Allocated() []volume.Extent { return slices.Clone(q.runs) }

func (q *qcow2) Close() error {
	if q.zstd != nil {
		q.zstd.Close()
	}
	return q.f.Close()
}
