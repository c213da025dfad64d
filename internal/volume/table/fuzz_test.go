package table

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/internal/volume"
)

// memory is a disk of a fixed size.
type memory []byte

func (m memory) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(m)) {
		return 0, io.EOF
	}
	n := copy(p, m[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (m memory) WriteAt(p []byte, off int64) (int, error) {
	if n := copy(m[off:], p); n < len(p) {
		return n, io.ErrShortWrite
	}
	return len(p), nil
}

const fuzzSize = 128 << 10

// fixSums makes the checksums of a GPT right, so that the fuzzer gets behind them.
func fixSums(m memory, header int64) {
	le := binary.LittleEndian
	h := m[header : header+512]
	size := le.Uint32(h[12:])
	entries, length := int64(le.Uint64(h[72:])), int64(le.Uint32(h[80:]))*int64(le.Uint32(h[84:]))
	if entries >= 0 && entries < fuzzSize/512 && length > 0 && entries*512+length <= fuzzSize {
		le.PutUint32(h[88:], crc32.ChecksumIEEE(m[entries*512:entries*512+length]))
	}
	if size >= 92 && size <= 512 {
		clear(h[16:20])
		le.PutUint32(h[16:], crc32.ChecksumIEEE(h[:size]))
	}
}

// FuzzRead: whatever is on a disk, Read neither fails nor hangs, and what it accepts can be written and reads the same.
func FuzzRead(f *testing.F) {
	seed := func(t *volume.Table, ss int) {
		m := make(memory, fuzzSize)
		if err := Write(m, t, fuzzSize, ss); err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(m[:2048]), []byte(m[fuzzSize-1024:]), ss == 4096)
	}
	gpt := sampleGPT()
	gpt.DiskSize, gpt.GPT.EntryCount, gpt.GPT.UsableEnd = fuzzSize, 4, fuzzSize-4096
	for i := range gpt.Partitions {
		gpt.Partitions[i].Start, gpt.Partitions[i].Size = int64(16+i*16)<<10, 8<<10
	}
	seed(gpt, 512)
	seed(gpt, 4096)
	dos := sampleGPT()
	dos.Kind, dos.GPT, dos.DiskID = KindDOS, nil, "0x1234abcd"
	dos.MBR = make([]byte, 512)
	dos.Partitions = []volume.Partition{
		{Number: 1, Start: 24 << 10, Size: 4096, Type: "0x83"},
		{Number: 5, Start: 1024, Size: 512, Type: "0x83", EBRStart: 512},
		{Number: 6, Start: 8192, Size: 4096, Type: "0x83", EBRStart: 1536},
	}
	dos.Extended = &volume.Partition{Number: 2, Start: 512, Size: 16384, Type: "0x05"}
	seed(dos, 512)
	f.Fuzz(func(t *testing.T, head, tail []byte, big bool) {
		m := make(memory, fuzzSize)
		copy(m, head)
		if len(tail) < fuzzSize {
			copy(m[fuzzSize-len(tail):], tail)
		}
		fixSums(m, 512)
		fixSums(m, fuzzSize-512)
		if end, err := Claims(m, fuzzSize, 512); end < 0 || err != nil {
			t.Errorf("claims %d bytes, %v", end, err)
		}
		ss := 512
		if big {
			ss = 4096
		}
		tbl, err := Read(m, fuzzSize, ss)
		if err != nil {
			t.Fatal(err)
		}
		if tbl.Kind == KindNone {
			return
		}
		w := make(memory, fuzzSize)
		if err := Write(w, tbl, fuzzSize, tbl.SectorSize); err != nil {
			t.Fatalf("%v: %+v", err, tbl)
		}
		again, err := Read(w, fuzzSize, tbl.SectorSize)
		if err != nil || again.Kind != tbl.Kind {
			t.Fatalf("%+v %v", again, err)
		}
		for _, x := range []*volume.Table{tbl, again} {
			for i := range x.Partitions {
				x.Partitions[i].EBR = nil
			}
		}
		if d := cmp.Diff(tbl.Partitions, again.Partitions); d != "" {
			t.Fatal(d)
		}
	})
}
