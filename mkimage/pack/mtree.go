package pack

import (
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/diskcast/diskcast/mkimage/records"
)

// mtree is the list of an Arch package's files, which makepkg puts before them (mtree(5), in gzip).
const mtree = ".MTREE"

// maxMtree bounds the list, in bytes; a kernel's has 1 MB.
const maxMtree = 64 << 20

// readMtree adds the SHA-256 of the list's files to sums.
func readMtree(r io.Reader, sums *records.Sums) error {
	z, err := gzip.NewReader(r)
	if err != nil {
		return fmt.Errorf("%w: %s", err, records.Again)
	}
	lines := bufio.NewScanner(io.LimitReader(z, maxMtree))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, rest, _ := strings.Cut(lines.Text(), " ")
		if !strings.HasPrefix(name, "./") {
			continue // #mtree, /set
		}
		for word := range strings.FieldsSeq(rest) {
			text, ok := strings.CutPrefix(word, "sha256digest=")
			if sum, err := hex.DecodeString(text); ok && err == nil && len(sum) == sha256.Size {
				sums.Add(plainName(name), sum)
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%w: %s", err, records.Again)
	}
	return nil
}

// plainName undoes vis(3)'s octal numbers: a space is \040.
func plainName(name string) string {
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if name[i] == '\\' && i+3 < len(name) {
			if c, err := strconv.ParseUint(name[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(name[i])
	}
	return b.String()
}
