package convert

import (
	"archive/tar"
	"bufio"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

const (
	maxMembers = 10_000 // of a tar file that is looked through
	maxNames   = 8      // of its members that an error lists
)

// untar takes the disk out of a tar file with one regular file in it, as distributions ship their cloud images. It is a
// raw disk or a partclone, ntfsclone or imagezip file; a GNU or PAX sparse one will do.
func untar(r io.Reader, d sink) (format string, err error) {
	t := tar.NewReader(r)
	var names []string
	more := 0
	for i := 0; ; i++ {
		h, err := t.Next()
		switch {
		case err == io.EOF:
			return format, oneMember(names, more)
		case errors.Is(err, io.ErrUnexpectedEOF):
			return "", errors.New("tar: the file is truncated")
		case err != nil:
			return "", fmt.Errorf("tar: %w", err)
		case i == maxMembers:
			return "", oneMember(names, more+1)
		case h.Typeflag == tar.TypeDir:
			continue
		case h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeGNUSparse:
			more++
			continue
		}
		if len(names) == maxNames {
			more++
			continue
		}
		if names = append(names, path.Base(h.Name)); len(names) > 1 {
			continue
		}
		if format, err = tarMember(h, t, d); err != nil {
			return "", err
		}
	}
}

// tarMember unpacks the first member, if it may be a disk.
func tarMember(h *tar.Header, t io.Reader, d sink) (string, error) {
	in := bufio.NewReaderSize(t, 1<<20)
	head, err := in.Peek(sniffSize)
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("tar: %s: %w", h.Name, short(err))
	}
	k := sniff(head)
	if k.name == "qcow2" || k.name == "tar" || decompressors[k.name] != nil {
		return "", fmt.Errorf("%w: it is a tar file with %s, whose format is %s; unpack it with `tar -xf IN`, and "+
			"import that", ErrFormat, h.Name, k.what)
	}
	format, err := unpackKind(k, in, d)
	if err != nil {
		return "", fmt.Errorf("%s in the tar file: %w", h.Name, err)
	}
	return format + "+tar", nil
}

// oneMember refuses a tar file that has more than the disk, or none.
func oneMember(names []string, more int) error {
	if len(names) == 1 && more == 0 {
		return nil
	}
	if len(names) == 0 {
		return fmt.Errorf("%w: it is a tar file without a regular file in it", ErrFormat)
	}
	list := strings.Join(names, ", ")
	if more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Errorf("%w: it is a tar file with several members (%s), and one with a disk alone is read; unpack it "+
		"with `tar -xf IN`, and import the disk", ErrFormat, list)
}
