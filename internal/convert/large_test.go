package convert

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// TestLargeQcow2: of a disk of 8 TiB with little in it, little is allocated, and the tables are all that is read.
func TestLargeQcow2(t *testing.T) {
	t.Parallel()
	need.Tools(t, "qemu-img", "qemu-io")
	path := filepath.Join(volumetest.Dir(t), "disk")
	volumetest.Run(t, "qemu-img", "create", "-q", "-f", "qcow2", path, "8T")
	volumetest.Run(t, "qemu-io", "-c", "write -P 1 0 1M", "-c", "write -P 2 4T 1M", "-c", "write -P 3 8796093018112 4k",
		path)
	d := openDisk(t, path)
	want := []volume.Extent{{Offset: 0, Length: mib}, {Offset: 4 << 40, Length: mib},
		{Offset: 8<<40 - 64<<10, Length: 64 << 10}}
	if got := d.Allocated(); len(got) != 3 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("allocated %v, want %v", got, want)
	}
	for at, c := range map[int64]byte{mib - 1: 1, mib: 0, 4<<40 + mib - 1: 2, 8<<40 - 4096: 3} {
		p := []byte{9}
		if _, err := d.ReadAt(p, at); err != nil || p[0] != c {
			t.Errorf("byte %d is %d, %v", at, p[0], err)
		}
	}
}

// TestLargePartclone: a file system of 1 TiB with one block in a thousand in use.
func TestLargePartclone(t *testing.T) {
	t.Parallel()
	const block, blocks = 4096, 1 << 28
	head := build(make([]byte, block), block, sumNone, 0, false, false)[:partcloneHead2]
	le.PutUint64(head[52:], block*blocks)
	le.PutUint64(head[60:], blocks)
	le.PutUint32(head[106:], rawCRC(head[:106]))
	bitmap := make([]byte, blocks/8)
	used := []int64{0, 1, 7, 8, 4095, 1 << 20, blocks/2 + 3, blocks - 1}
	for _, b := range used {
		bitmap[b/8] |= 1 << (b % 8)
	}
	data := make([]byte, 0, len(used)*block)
	for i := range used {
		data = append(data, bytes.Repeat([]byte{byte(i + 1)}, block)...)
	}
	d, err := newScratch(Options{Scratch: volumetest.Dir(t), MaxSize: 2 << 40})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := readPartclone(io.MultiReader(bytes.NewReader(head), bytes.NewReader(bitmap),
		bytes.NewReader(le.AppendUint32(nil, rawCRC(bitmap))), bytes.NewReader(data)), d); err != nil {
		t.Fatal(err)
	}
	d.done()
	if got := volume.Bytes(d.Allocated()); got != int64(len(used))*block {
		t.Errorf("%d bytes are allocated, in %v", got, d.Allocated())
	}
	p := make([]byte, block)
	for i, b := range used {
		if _, err := d.ReadAt(p, b*block); err != nil && err != io.EOF || p[0] != byte(i+1) || p[block-1] != byte(i+1) {
			t.Errorf("block %d begins with %d, %v", b, p[0], err)
		}
	}
}

// TestCutQcow2 cuts files in many places: each cut that takes a byte of the disk away is found, when the file is opened
// or read.
func TestCutQcow2(t *testing.T) {
	t.Parallel()
	need.Tools(t, "qemu-img")
	disk, data := smallDisk(t)
	for _, options := range []string{"-o cluster_size=64k", "-o cluster_size=4k", "-c -o cluster_size=64k",
		"-c -o compression_type=zstd,cluster_size=32k", "-o preallocation=metadata,cluster_size=64k"} {
		path := filepath.Join(volumetest.Dir(t), "disk")
		volumetest.Run(t, "qemu-img",
			append(append([]string{"convert", "-O", "qcow2"}, strings.Fields(options)...), disk, path)...)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		for size := info.Size() - 513; size > 0; size -= max(7777, info.Size()/60) {
			if err := os.Truncate(path, size); err != nil {
				t.Fatal(err)
			}
			d, err := Open(path)
			if err != nil {
				continue
			}
			// Nothing of the disk may have been in what is gone.
			got := make([]byte, d.Size())
			if _, err := d.ReadAt(got, 0); err == nil || errors.Is(err, io.EOF) {
				if !bytes.Equal(got, data) {
					t.Errorf("%s, cut from %d to %d bytes: it is read, and differs", options, info.Size(), size)
				}
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
