package capture

import (
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/inuse"
	"github.com/diskcast/diskcast/internal/sparse"
	"github.com/diskcast/diskcast/internal/volume"
)

// Source is a disk to be captured, which nobody else uses while it is open. Of one that is captured live, Users says
// who does.
type Source struct {
	*inuse.Hold
	Size       int64
	SectorSize int
}

// OpenSource opens a block device or a file that holds a disk. One that is in use, by a mount in any namespace, by
// swap, LVM, RAID, a loop device or a process that has it open for writing, is refused with an *inuse.Error. The sector
// size of a file is that of the GPT in it, 512 where there is none.
func OpenSource(path string) (*Source, error) { return source(inuse.Open(path)) }

// OpenLive is OpenSource for what may be in use: what is copied of it is of as many moments as the copy takes.
func OpenLive(path string) (*Source, error) { return source(inuse.Live(path)) }

func source(h *inuse.Hold, err error) (*Source, error) {
	if err != nil {
		return nil, err
	}
	s := &Source{Hold: h}
	if err := s.geometry(); err != nil {
		h.Close()
		return nil, fmt.Errorf("source %s: %w", h.Name(), err)
	}
	_ = unix.Fadvise(int(h.Fd()), 0, 0, unix.FADV_SEQUENTIAL) // advice: a longer read-ahead
	return s, nil
}

// Allocated implements Sparse: the holes of a sparse file are asked of its file system. A block device is data.
func (s *Source) Allocated() []volume.Extent { return sparse.Data(s.Hold.File, s.Size) }

func (s *Source) geometry() error {
	st, err := s.Stat()
	if err != nil {
		return err
	}
	if st.Mode().IsRegular() {
		s.Size, s.SectorSize = st.Size(), 512
		for _, ss := range []int{512, 1024, 2048, 4096} {
			var sig [8]byte
			if _, err := s.ReadAt(sig[:], int64(ss)); err == nil && string(sig[:]) == "EFI PART" {
				s.SectorSize = ss
				break
			}
		}
		return nil
	}
	if s.Size, err = s.Seek(0, io.SeekEnd); err != nil {
		return fmt.Errorf("its size: %w", err)
	}
	if s.SectorSize, err = unix.IoctlGetInt(int(s.Fd()), unix.BLKSSZGET); err != nil {
		return fmt.Errorf("its sector size: %w", err)
	}
	return nil
}
