package deb

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/diskcast/diskcast/mkimage/records"
)

// arReader reads the common ar format: a magic, then members with a header of 60 bytes of text (deb(5), ar(5)): name
// 16, time 12, owner 6, group 6, mode 8, size 10, end 2. A member with an odd size is followed by one byte of padding.
// Packages use no extensions for long names.
type arReader struct {
	r    io.Reader
	left int64 // bytes of the current member not read yet
	odd  bool  // padding follows it
}

func newArReader(r io.Reader) (*arReader, error) {
	magic := make([]byte, len(Magic))
	if _, err := io.ReadFull(r, magic); err != nil || string(magic) != Magic {
		return nil, errors.New("not a Debian package: it does not start with !<arch>")
	}
	return &arReader{r: r}, nil
}

// errEarly is of a package that broke off.
var errEarly = fmt.Errorf("the package ends early: %w; fetch it again", io.ErrUnexpectedEOF)

// next goes to the next member; io.EOF is the file's end. The reader is valid until the next call.
func (a *arReader) next() (name string, content io.Reader, err error) {
	if _, err := io.CopyN(io.Discard, a.r, a.left); err != nil {
		return "", nil, errEarly
	}
	a.left = 0
	if a.odd {
		var padding [1]byte
		if _, err := io.ReadFull(a.r, padding[:]); err != nil {
			return "", nil, errEarly
		}
		if padding[0] != '\n' {
			return "", nil, errors.New("no newline behind an ar member of odd size: " + records.Again)
		}
		a.odd = false
	}
	header := make([]byte, 60)
	if _, err := io.ReadFull(a.r, header); err != nil {
		if errors.Is(err, io.EOF) {
			return "", nil, io.EOF
		}
		return "", nil, errors.New("the package ends early, or something is behind its end: " + records.Again)
	}
	if string(header[58:]) != "`\n" {
		return "", nil, errors.New("a damaged ar header, or something behind the end: " + records.Again)
	}
	name = strings.TrimSuffix(strings.TrimRight(string(header[:16]), " "), "/")
	size, err := strconv.ParseUint(strings.TrimRight(string(header[48:58]), " "), 10, 40)
	if err != nil {
		return "", nil, fmt.Errorf("ar member %q: size: %w: %s", name, err, records.Again)
	}
	a.left, a.odd = int64(size), size%2 == 1
	return name, &counted{a, int64(size)}, nil
}

// counted reads a member and tells the arReader how far it came.
type counted struct {
	a    *arReader
	left int64
}

func (c *counted) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.a.r.Read(p)
	c.left -= int64(n)
	c.a.left -= int64(n)
	if err == io.EOF && c.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
