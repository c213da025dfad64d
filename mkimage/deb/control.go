package deb

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// maxControl bounds the control file, in bytes.
const maxControl = 1 << 20

// Control returns the control file of a package: fields as "Depends: a, b (>= 1)" (deb-control(5)).
func Control(r io.Reader) (string, error) {
	var text strings.Builder
	err := walk(r, "control.tar", func(h *tar.Header, content io.Reader) error {
		if h.Name != "control" {
			return nil
		}
		_, err := io.Copy(&text, io.LimitReader(content, maxControl))
		return err
	})
	if err == nil && text.Len() == 0 {
		err = errors.New("no control file: not a Debian package")
	}
	if err != nil {
		return "", fmt.Errorf("control: %w", err)
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
