package ntfs

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/volume/field"
)

// maxRootIndex bounds the index of the root directory: room for more than 100 000 names.
const maxRootIndex = 16 << 20

// hibernated reports whether the root directory has a hiberfil.sys that begins with the mark of a suspended system.
// After a resume the mark is "wake" or zeros.
func (fs *FS) hibernated() (bool, error) {
	numbers, err := fs.rootFiles("hiberfil.sys")
	if err != nil {
		return false, err
	}
	for _, n := range numbers {
		attrs, err := fs.file(n)
		if err != nil {
			return false, err
		}
		mark := make([]byte, 4)
		resident := slices.IndexFunc(attrs,
			func(a attribute) bool { return a.kind == attrData && !a.named && !a.nonResident })
		if resident >= 0 {
			copy(mark, attrs[resident].value)
		} else if mark, err = fs.begin(n, mark); err != nil {
			return false, fmt.Errorf("file record %d: %w", n, err)
		}
		switch strings.ToLower(string(mark)) {
		case "hibr", "rstr": // suspended; a resume that did not end
			return true, nil
		}
	}
	return false, nil
}

// begin reads the first bytes of a file's data into p; a hole, and what is behind the end, is zero.
func (fs *FS) begin(number int64, p []byte) ([]byte, error) {
	runs, size, err := fs.data(number)
	if err != nil || size < int64(len(p)) || len(runs) > 0 && runs[0].lcn < 0 {
		return p, err
	}
	return p, fs.readRuns(runs, 0, p)
}

// rootFiles returns the file records that the root directory has under a name, in any case. The directory is a tree of
// index blocks; all of them are read, whatever their order.
func (fs *FS) rootFiles(name string) (numbers []int64, err error) {
	attrs, err := fs.file(fileRoot)
	if err != nil {
		return nil, err
	}
	block := int64(0)
	for _, a := range attrs {
		if a.kind != attrIndexRoot || a.nonResident || len(a.value) < 32 {
			continue
		}
		block = int64(le.Uint32(a.value[8:]))
		if numbers, err = named(a.value[16:], name, numbers); err != nil {
			return nil, fmt.Errorf("the root directory: %w", err)
		}
	}
	if block < 512 || block > 65536 || block&(block-1) != 0 {
		return nil, fmt.Errorf("the root directory has index blocks of %d bytes", block)
	}
	runs, size, err := fs.stream(fileRoot, attrIndex, true)
	if errors.Is(err, errNoStream) {
		return numbers, nil // a directory so small that it has no blocks
	}
	if err != nil {
		return nil, fmt.Errorf("the root directory: %w", err)
	}
	if size > maxRootIndex {
		return nil, fmt.Errorf("the root directory's index has %d bytes", size)
	}
	p := make([]byte, block)
	for at := int64(0); at+block <= size; at += block {
		if err := fs.readRuns(runs, at, p); err != nil {
			return nil, fmt.Errorf("the root directory: %w", err)
		}
		if le.Uint32(p) == 0 {
			continue // never used
		}
		if string(p[:4]) != "INDX" {
			return nil, fmt.Errorf("the root directory's index block at byte %d has no INDX mark", at)
		}
		if err := fixup(p); err != nil {
			return nil, fmt.Errorf("the root directory's index block at byte %d: %w", at, err)
		}
		if numbers, err = named(p[24:], name, numbers); err != nil {
			return nil, fmt.Errorf("the root directory's index block at byte %d: %w", at, err)
		}
	}
	return numbers, nil
}

// named adds to numbers the file records with a name in an index node: a header that says where the entries are, and
// the entries, each with a file reference and, as its key, what is in the file's $FILE_NAME.
func named(p []byte, name string, numbers []int64) ([]int64, error) {
	at, end := int64(le.Uint32(p)), int64(le.Uint32(p[4:]))
	if at < 16 || at > end || end > int64(len(p)) {
		return nil, errors.New("its entries are out of bounds")
	}
	for p = p[at:end]; len(p) >= 16; {
		n, flags := int(le.Uint16(p[8:])), le.Uint16(p[12:])
		if flags&2 != 0 { // the last entry has no key
			return numbers, nil
		}
		if n < 16+66 || n > len(p) || 16+66+2*int(p[16+64]) > n {
			return nil, fmt.Errorf("an entry has %d bytes", n)
		}
		number := int64(le.Uint64(p) & 0xffffffffffff)
		if s := field.UTF16(p[16+66 : 16+66+2*int(p[16+64])]); strings.EqualFold(s, name) &&
			!slices.Contains(numbers, number) {
			numbers = append(numbers, number)
		}
		p = p[n:]
	}
	return numbers, nil
}
