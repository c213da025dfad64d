// Package imagetest makes disks for tests of images: the same bytes for the same seed, with everything in them that a
// capture treats differently.
package imagetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/table"
)

// Memory is a disk in memory. It is a restore.Target.
type Memory struct {
	mu     sync.RWMutex
	b      []byte
	sector int
	// Fail, when it is set, is asked before each write.
	Fail    func(off int64, n int) error
	written int64
	zeroed  int64
}

// NewMemory returns a disk that holds b.
func NewMemory(b []byte, sectorSize int) *Memory { return &Memory{b: b, sector: sectorSize} }

// Bytes are the disk's bytes, not a copy.
func (m *Memory) Bytes() []byte { return m.b }

// Written is how many bytes were written by WriteAt and by Zero.
func (m *Memory) Written() (written, zeroed int64) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.written, m.zeroed
}

func (m *Memory) Size() int64     { return int64(len(m.b)) }
func (m *Memory) SectorSize() int { return m.sector }
func (m *Memory) Sync() error     { return nil }
func (m *Memory) Close() error    { return nil }

func (m *Memory) ReadAt(p []byte, off int64) (int, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if off < 0 || off > int64(len(m.b)) {
		return 0, errors.New("read beyond the disk")
	}
	n := copy(p, m.b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (m *Memory) WriteAt(p []byte, off int64) (int, error) {
	if m.Fail != nil {
		if err := m.Fail(off, len(p)); err != nil {
			return 0, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if off < 0 || off > int64(len(m.b)) || len(p) > len(m.b)-int(off) {
		return 0, fmt.Errorf("write of %d bytes at %d, beyond the disk of %d", len(p), off, len(m.b))
	}
	m.written += int64(len(p))
	return copy(m.b[off:], p), nil
}

// Zero makes bytes zero.
func (m *Memory) Zero(off, n int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if off < 0 || n < 0 || off > int64(len(m.b)) || n > int64(len(m.b))-off {
		return fmt.Errorf("zeroing %d bytes at %d, beyond the disk of %d", n, off, len(m.b))
	}
	m.zeroed += n
	clear(m.b[off : off+n])
	return nil
}

// Fill writes a mixture of random bytes, text, repeated pages and zeros of many lengths into b.
func Fill(b []byte, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	words := bytes.Fields([]byte("the quick brown fox jumps over a lazy dog while seven nodes boot from one server " +
		"and wait for their image"))
	for len(b) > 0 {
		n := min(len(b), 1+r.IntN(1<<uint(9+r.IntN(12))))
		part := b[:n]
		b = b[n:]
		switch r.IntN(4) {
		case 0:
			clear(part)
		case 1:
			Random(part, r.Uint64())
		case 2:
			for at := 0; at < n; {
				at += copy(part[at:], words[r.IntN(len(words))])
				if at < n {
					part[at] = ' '
					at++
				}
			}
		case 3:
			page := make([]byte, 4096)
			Random(page, uint64(r.IntN(8)))
			for at := 0; at < n; {
				at += copy(part[at:], page)
			}
		}
	}
}

// Random fills b with bytes that do not compress.
func Random(b []byte, seed uint64) {
	c := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24), 1})
	_, _ = c.Read(b)
}

// Types of partition for Disk.
const (
	LinuxType = "0fc63daf-8483-4772-8e79-3d69d8477de4"
	ESPType   = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
)

// GPT is a table with partitions of the sizes, one after another from 1 MiB on.
func GPT(diskSize int64, sectorSize int, sizes ...int64) *volume.Table {
	mbr := make([]byte, 512)
	copy(mbr[446:], []byte{0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})
	mbr[510], mbr[511] = 0x55, 0xaa
	t := &volume.Table{
		Kind: table.KindGPT, SectorSize: sectorSize, DiskSize: diskSize, DiskID: "7c0f2a5e-1111-4222-8333-0123456789ab",
		MBR: mbr,
		GPT: &volume.GPT{EntryCount: 128, EntrySize: 128},
	}
	at := int64(1 << 20)
	for i, n := range sizes {
		t.Partitions = append(t.Partitions, volume.Partition{
			Number: i + 1, Start: at, Size: n, Type: LinuxType, UUID: fmt.Sprintf("7c0f2a5e-2222-4333-8444-%012x", i+1),
			Name: fmt.Sprintf("part %d", i+1),
		})
		at += n
	}
	return t
}

// Forgetful is a disk that keeps another byte than was written at one place, as often as it is told to.
type Forgetful struct {
	*Memory
	At    int64
	Times int
}

// WriteAt implements io.WriterAt.
func (f *Forgetful) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.Memory.WriteAt(p, off)
	if off <= f.At && f.At < off+int64(n) && f.Times > 0 {
		f.Times--
		f.Bytes()[f.At] ^= 4
	}
	return n, err
}
