package convert

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// digitsOf are what split(1) and others put behind a name: .aa, .ab (or with three letters), or .000, .001 (or from
// .001 on, as 7-Zip does).
const (
	letters = "abcdefghijklmnopqrstuvwxyz"
	numbers = "0123456789"
)

// suffixOf splits the suffix of a piece off a name; set is empty where the name has none.
func suffixOf(path string) (base, suffix, set string) {
	ext := filepath.Ext(path)
	if len(ext) != 3 && len(ext) != 4 {
		return path, "", ""
	}
	suffix = ext[1:]
	for _, set := range []string{letters, numbers} {
		if strings.Trim(suffix, set) == "" {
			return strings.TrimSuffix(path, ext), suffix, set
		}
	}
	return path, "", ""
}

// isFirst tells the suffix of a first piece.
func isFirst(suffix string) bool { return suffix == "aa" || suffix == "aaa" }

// next counts on; the last suffix of its length has none.
func next(suffix, set string) string {
	p := []byte(suffix)
	for i := len(p) - 1; i >= 0; i-- {
		if at := strings.IndexByte(set, p[i]); at+1 < len(set) {
			p[i] = set[at+1]
			return string(p)
		}
		p[i] = set[0]
	}
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// splitPieces lists the files of an image that was cut, given by its first piece or by the name without suffix. A file
// that is not one of several stands alone. It is an error if the first piece, or one in the middle, is missing.
func splitPieces(path string) ([]string, error) {
	base, suffix, set := suffixOf(path)
	if exists(path) {
		switch first, err := firstPiece(base, suffix, set); {
		case err != nil:
			return nil, err
		case first == "":
			return []string{path}, nil
		default:
			return contiguous(base, first, set)
		}
	}
	for _, first := range []string{"aa", "aaa"} {
		if exists(path + "." + first) {
			return contiguous(path, first, letters)
		}
		later, _ := filepath.Glob(globQuote(path+"."+first[1:]) + "[b-z]")
		if len(later) > 0 {
			return nil, fmt.Errorf("its first piece, %s.%s, is missing, and %s is there", path, first, later[0])
		}
	}
	if isFirst(suffix) && exists(base+"."+next(suffix, set)) {
		return nil, fmt.Errorf("it is the first piece of a split image, and missing: %s.%s is there", base,
			next(suffix, set))
	}
	_, err := os.Stat(path)
	return nil, err
}

// firstPiece is the suffix of the first piece of the image that a file with this suffix belongs to; empty for a file
// that stands alone.
func firstPiece(base, suffix, set string) (string, error) {
	var first string
	switch {
	case set == letters && strings.Trim(suffix[:len(suffix)-1], "a") == "":
		first = strings.Repeat("a", len(suffix)) // .ab to .az and .aab to .aaz are no names of formats
	case set == letters && exists(base+"."+strings.Repeat("a", len(suffix))):
		first = strings.Repeat("a", len(suffix))
	case set == numbers: // a name may end in a version, too: v1.02
		first = strings.Repeat("0", len(suffix))
		if !exists(base+"."+first) && len(suffix) == 3 {
			first = "001"
		}
		if !exists(base+"."+first) && (len(suffix) < 3 || suffix[0] != '0') {
			return "", nil
		}
	default:
		return "", nil
	}
	if suffix == first {
		return first, nil
	}
	if exists(base + "." + first) {
		return "", fmt.Errorf("it is a later piece of a split image; give the first one, %s.%s", base, first)
	}
	return "", fmt.Errorf("by its name it is a later piece of a split image, and the first one, %s.%s, is missing",
		base, first)
}

// contiguous lists the pieces from the first on. All must be there, and all but the last of one size, as split(1) makes
// them.
func contiguous(base, first, set string) ([]string, error) {
	have := map[string]int64{}
	entries, err := os.ReadDir(filepath.Dir(base))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		suffix, ok := strings.CutPrefix(e.Name(), filepath.Base(base)+".")
		if !ok || len(suffix) != len(first) || strings.Trim(suffix, set) != "" {
			continue
		}
		info, err := os.Stat(filepath.Join(filepath.Dir(base), e.Name()))
		if err != nil {
			return nil, err
		}
		have[suffix] = info.Size()
	}
	var pieces []string
	last := ""
	for suffix := first; suffix != ""; suffix = next(suffix, set) {
		if _, ok := have[suffix]; !ok {
			break
		}
		if last != "" && have[last] != have[first] {
			return nil, fmt.Errorf("its piece %s.%s has %d bytes, and the first one %d: it is not whole", base, last,
				have[last], have[first])
		}
		pieces = append(pieces, base+"."+suffix)
		last = suffix
	}
	if have[last] > have[first] {
		return nil, fmt.Errorf("its last piece %s.%s has %d bytes, more than the first one with %d: pieces are "+
			"missing or of different images", base, last, have[last], have[first])
	}
	for suffix := range have {
		if suffix > last && suffix[0]-last[0] <= 1 { // further on lie names such as .iso
			return nil, fmt.Errorf("its piece %s.%s is missing, and %s.%s is there", base, next(last, set), base,
				suffix)
		}
	}
	return pieces, nil
}
