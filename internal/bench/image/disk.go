package main

import (
	"math/rand/v2"
	"os"

	"github.com/diskcast/diskcast/internal/volume/ext"
)

// change overwrites a page of file data in every twentieth of the 4 MiB cells that the file system uses, so that 5 % of
// the chunks differ.
func change(path string) (cells, changed int, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	fs, err := ext.Open(f, st.Size())
	if err != nil {
		return 0, 0, err
	}
	extents, err := fs.Extents()
	if err != nil {
		return 0, 0, err
	}
	// The last page that is used in each cell: group descriptors and inode tables are at the front of block groups.
	last := map[int64]int64{}
	var order []int64
	for _, e := range extents {
		for at := e.Offset; at+4096 <= e.End(); at += 4096 {
			c := at >> 22
			if _, ok := last[c]; !ok {
				order = append(order, c)
			}
			last[c] = at
		}
	}
	r := rand.NewChaCha8([32]byte{5})
	page := make([]byte, 4096)
	for i, c := range order {
		if i%20 != 10 {
			continue
		}
		_, _ = r.Read(page)
		if _, err := f.WriteAt(page, last[c]); err != nil {
			return 0, 0, err
		}
		changed++
	}
	return len(order), changed, f.Close()
}
