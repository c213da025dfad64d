package deb

import (
	"archive/tar"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/diskcast/diskcast/mkimage/records"
)

// maxControl bounds the control file, in bytes, and maxSums the list of the files' MD5: a kernel's has 400 kB.
const (
	maxControl = 1 << 20
	maxSums    = 64 << 20
)

// controlMember is how the name of the archive with them begins, and sumsFile is the list (deb-md5sums(5)).
const (
	controlMember = "control.tar"
	sumsFile      = "md5sums"
)

// Control returns the control file of a package: fields as "Depends: a, b (>= 1)" (deb-control(5)).
func Control(r io.Reader) (string, error) {
	a, err := newArReader(r)
	for err == nil {
		var name string
		var content io.Reader
		if name, content, err = a.next(); err != nil || !strings.HasPrefix(name, controlMember) {
			continue
		}
		text, err := readControl(name, content, &records.Sums{})
		if err == nil && text == "" {
			err = errors.New("no control file: not a Debian package")
		}
		return text, err
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("no " + controlMember + ": not a Debian package")
	}
	return "", err
}

// readControl reads the control file, empty when it is not there, and adds the list of the files' MD5 to sums.
func readControl(name string, r io.Reader, sums *records.Sums) (string, error) {
	var text, list strings.Builder
	err := walk(name, r, func(h *tar.Header, content io.Reader) (err error) {
		switch h.Name {
		case "control":
			_, err = io.Copy(&text, io.LimitReader(content, maxControl))
		case sumsFile:
			if h.Size > maxSums {
				return fmt.Errorf("%d bytes, more than %d", h.Size, maxSums)
			}
			_, err = io.Copy(&list, content)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(list.String()) {
		sum, file, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if sum, err := hex.DecodeString(sum); ok && err == nil && len(sum) == md5.Size {
			sums.Add(file, sum)
		}
	}
	return text.String(), nil
}

// Field returns a field of a control file, with the lines that continue it; empty when it is not there.
func Field(control, name string) string {
	var value []string
	in := false
	for line := range strings.Lines(control) {
		key, rest, found := strings.Cut(line, ":")
		switch {
		case strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t"):
			if in {
				value = append(value, strings.TrimSpace(line))
			}
		case found && strings.EqualFold(key, name):
			in = true
			value = append(value, strings.TrimSpace(rest))
		default:
			in = false
		}
	}
	return strings.Join(value, " ")
}

var packageName = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]*`)

// Depends returns the names of the packages in the fields Depends and Pre-Depends; of alternatives the first.
func Depends(control string) []string {
	var out []string
	for _, field := range []string{"Depends", "Pre-Depends"} {
		for item := range strings.SplitSeq(Field(control, field), ",") {
			if name := packageName.FindString(strings.TrimSpace(item)); name != "" {
				out = append(out, name)
			}
		}
	}
	return out
}
