// Package swap reads Linux swap areas.
//
// Of a swap area only the first page matters: it has room for a boot sector, a header with UUID, label and size, a list
// of bad pages, and in its last ten bytes the signature. What is in the other pages means nothing to the next boot,
// with one exception: a hibernated system has its memory there, and says so by another signature; TuxOnIce leaves that
// one as it was and puts its own at the first byte. Then all of it is captured.
//
// A header that claims more than there is, and one of the format of Linux 2.0, which claims nothing, are refused: the
// kernel does not swap to the former, and of the latter nobody can say where it ends.
//
// The header is documented by union swap_header in mkswap(8)'s and the kernel's public headers: at byte 1024 version,
// last page, number of bad pages (u32 each, in the byte order of the machine), UUID and label (16 bytes each).
package swap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/diskcast/diskcast/internal/volume"
)

// pageSizes are those of the machines that Linux runs on.
var pageSizes = []int64{4096, 8192, 16384, 32768, 65536}

// hibernated are the signatures of an area that holds the memory of a suspended system.
var hibernated = []string{"S1SUSPEND\x00", "S2SUSPEND\x00", "ULSUSPEND\x00", "LINHIB0001"}

// tuxOnIce is the first bytes of an area that holds a system suspended by TuxOnIce, whatever the size of its pages.
const tuxOnIce = "\xed\xc3\x02\xe9\x98\x56\xe5\x0c"

const signatureSize = 10 // bytes, the last ones of the page

// FS is a swap area.
type FS struct {
	size      int64
	page      int64
	claims    int64 // bytes, by the header
	suspended bool
	uuid      [16]byte
	label     string
}

// Open reads the first page of the swap area in the size bytes of r.
func Open(r io.ReaderAt, size int64) (*FS, error) {
	n := min(size, pageSizes[len(pageSizes)-1])
	b, err := volume.Read(r, size, 0, n, n)
	if err != nil {
		return nil, fmt.Errorf("the swap header: %w", err)
	}
	toi := bytes.HasPrefix(b, []byte(tuxOnIce))
	for _, page := range pageSizes {
		if page > n {
			break
		}
		fs := &FS{size: size, page: page, suspended: toi}
		signature := string(b[page-signatureSize : page])
		switch {
		case signature == "SWAPSPACE2":
		case signature == "SWAP-SPACE":
			return nil, errors.New("it is of the format of Linux 2.0, which does not say how large it is")
		default:
			for _, h := range hibernated {
				fs.suspended = fs.suspended || strings.HasPrefix(signature, h)
			}
			if !fs.suspended {
				continue
			}
		}
		if err := fs.header(b[1024:]); err != nil {
			return nil, err
		}
		if fs.claims > size && !fs.suspended {
			return nil, fmt.Errorf("its header claims %d bytes, more than its partition of %d has", fs.claims, size)
		}
		return fs, nil
	}
	return nil, volume.ErrNotThis
}

func (fs *FS) header(b []byte) error {
	var order binary.ByteOrder = binary.LittleEndian
	version := order.Uint32(b)
	if version == 1<<24 {
		order, version = binary.BigEndian, 1
	}
	if version != 1 && !fs.suspended {
		return fmt.Errorf("its swap header has version %d", version)
	}
	fs.claims = (int64(order.Uint32(b[4:])) + 1) * fs.page
	copy(fs.uuid[:], b[12:])
	fs.label, _, _ = strings.Cut(string(bytes.ToValidUTF8(b[28:44], []byte("?"))), "\x00")
	return nil
}

// Type is swap, or swsuspend when a system is suspended in it, as blkid says.
func (fs *FS) Type() string {
	if fs.suspended {
		return "swsuspend"
	}
	return "swap"
}

// Info returns what the header says.
func (fs *FS) Info() volume.Info {
	info := volume.Info{Label: fs.label, BlockSize: fs.page, Size: min(fs.claims, fs.size), Used: fs.page,
		Clean: !fs.suspended}
	if fs.uuid != [16]byte{} {
		info.UUID = fmt.Sprintf("%x-%x-%x-%x-%x", fs.uuid[:4], fs.uuid[4:6], fs.uuid[6:8], fs.uuid[8:10], fs.uuid[10:])
	}
	if fs.suspended {
		info.Used = fs.size
		info.Notes = append(info.Notes,
			"It holds the memory of a hibernated system, which is captured whole. A restored machine will try to "+
				"resume it; shut the source down instead of hibernating it if that is not wanted.")
		return info
	}
	info.Notes = append(info.Notes, "Of a swap area only the header is captured.")
	return info
}

// Extents returns the header page, or everything when a system is suspended in it.
func (fs *FS) Extents() ([]volume.Extent, error) {
	n := fs.page
	if fs.suspended {
		n = fs.size
	}
	return []volume.Extent{{Offset: 0, Length: n}}, nil
}
