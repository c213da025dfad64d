package capture

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/sparse"
	"github.com/diskcast/diskcast/internal/volume"
)

// Source is a disk to be captured.
type Source struct {
	*os.File
	Size       int64
	SectorSize int
}

// OpenSource opens a block device or a file that holds a disk. The sector size of a file is that of the GPT in it, 512 where there is none.
func OpenSource(path string) (*Source, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	s := &Source{File: f}
	if err := s.geometry(); err != nil {
		f.Close()
		return nil, fmt.Errorf("source %s: %w", path, err)
	}
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_SEQUENTIAL) // advice: a longer read-ahead
	return s, nil
}

// Allocated implements Sparse: the holes of a sparse file are asked of its file system. A block device is data.
func (s *Source) Allocated() []volume.Extent { return sparse.Data(s.File, s.Size) }

func (s *Source) geometry() error {
	st, err := s.Stat()
	if err != nil {
		return err
	}
	switch mode := st.Mode(); {
	case mode.IsRegular():
		s.Size, s.SectorSize = st.Size(), 512
		for _, ss := range []int{512, 1024, 2048, 4096} {
			var sig [8]byte
			if _, err := s.ReadAt(sig[:], int64(ss)); err == nil && string(sig[:]) == "EFI PART" {
				s.SectorSize = ss
				break
			}
		}
		return nil
	case mode&os.ModeDevice != 0 && mode&os.ModeCharDevice == 0:
		if s.Size, err = s.Seek(0, io.SeekEnd); err != nil {
			return fmt.Errorf("its size: %w", err)
		}
		if s.SectorSize, err = unix.IoctlGetInt(int(s.Fd()), unix.BLKSSZGET); err != nil {
			return fmt.Errorf("its sector size: %w", err)
		}
		return nil
	}
	return fmt.Errorf("it is neither a block device nor a file")
}
