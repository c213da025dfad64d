package store

import (
	"encoding/binary"
	"fmt"
	"io"

	"go.etcd.io/bbolt"
)

// A page of bbolt begins with u64 its number, u16 flags, u16 count of elements, u32 count of pages that it goes on for,
// in the machine's byte order. An element has 16 bytes; that of a branch ends with the number of a page below it.
// Source: go.etcd.io/bbolt/internal/common/page.go.
const (
	pageHeader = 16
	pageElem   = 16
	flagBranch = 1
	flagLeaf   = 2
)

// trees walks the two trees of a state file by hand: bbolt follows a page that leads back to itself for ever.
func trees(r io.ReaderAt, size int64, pageSize int, tx *bbolt.Tx) error {
	seen := map[uint64]bool{}
	if err := tree(r, size, pageSize, uint64(tx.Cursor().Bucket().RootPage()), seen); err != nil {
		return err
	}
	if b := tx.Bucket(bucket); b != nil && b.RootPage() != 0 { // 0: it lies in its parent's page
		return tree(r, size, pageSize, uint64(b.RootPage()), seen)
	}
	return nil
}

func tree(r io.ReaderAt, size int64, pageSize int, root uint64, seen map[uint64]bool) error {
	for todo := []uint64{root}; len(todo) > 0; {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if id >= uint64(size)/uint64(pageSize) {
			return fmt.Errorf("its pages are damaged (page %d is beyond the end)", id)
		}
		if seen[id] {
			return fmt.Errorf("its pages are damaged (two lead to page %d)", id)
		}
		seen[id] = true
		page := make([]byte, pageHeader)
		if _, err := r.ReadAt(page, int64(id)*int64(pageSize)); err != nil {
			return fmt.Errorf("reading page %d: %w", id, err)
		}
		more := uint64(binary.NativeEndian.Uint32(page[12:]))
		flags, n := binary.NativeEndian.Uint16(page[8:]), int(binary.NativeEndian.Uint16(page[10:]))
		switch {
		case binary.NativeEndian.Uint64(page) != id:
			return fmt.Errorf("its pages are damaged (page %d says that it is another)", id)
		case more >= uint64(size)/uint64(pageSize)-id:
			return fmt.Errorf("its pages are damaged (page %d goes on beyond the end)", id)
		case flags == flagLeaf:
			continue
		case flags != flagBranch || int64(pageHeader+n*pageElem) > int64(more+1)*int64(pageSize):
			return fmt.Errorf("its pages are damaged (page %d is of no known kind)", id)
		}
		elems := make([]byte, n*pageElem)
		if _, err := r.ReadAt(elems, int64(id)*int64(pageSize)+pageHeader); err != nil {
			return fmt.Errorf("reading page %d: %w", id, err)
		}
		for ; len(elems) > 0; elems = elems[pageElem:] {
			todo = append(todo, binary.NativeEndian.Uint64(elems[8:]))
		}
	}
	return nil
}
