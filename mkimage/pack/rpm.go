package pack

import (
	"archive/tar"
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/sassoftware/go-rpmutils"

	"github.com/diskcast/diskcast/mkimage/records"
)

// Types of files in an RPM's modes (stat(2)).
const (
	typeMask = 0o170000
	typeDir  = 0o040000
	typeLink = 0o120000
	typeFile = 0o100000
)

// Sizes of an RPM (its manual, "Package Format"): the lead, and the beginning of each of the two headers, which says
// how many entries of 16 bytes and how many bytes of data follow. The limits are rpm's own for entries, and a quarter
// of its own for data; a kernel's header has 2 MB.
const (
	leadSize   = 96
	introSize  = 16
	maxEntries = 1<<16 - 1
	maxData    = 64 << 20
)

// places are where in an RPM its second header and its payload begin.
type places struct {
	header, payload int64
}

// checkHeaders holds both headers against the limits: the library makes room for all that they claim.
func checkHeaders(f io.ReadSeeker) (places, error) {
	var begin [3]int64
	begin[0] = leadSize
	for i, padding := range []int64{8, 1} { // the first header's data ends at a multiple of eight bytes
		intro := make([]byte, introSize)
		if _, err := f.Seek(begin[i], io.SeekStart); err != nil {
			return places{}, err
		}
		if _, err := io.ReadFull(f, intro); err != nil {
			return places{}, fmt.Errorf("its header: %w", err)
		}
		entries, data := int64(binary.BigEndian.Uint32(intro[8:])), int64(binary.BigEndian.Uint32(intro[12:]))
		if entries > maxEntries || data > maxData {
			return places{}, fmt.Errorf("a header of %d entries and %d bytes, more than %d and %d", entries, data,
				maxEntries, maxData)
		}
		begin[i+1] = begin[i] + introSize + 16*entries + (data+padding-1)/padding*padding
	}
	_, err := f.Seek(0, io.SeekStart)
	return places{begin[1], begin[2]}, err
}

// readRPM reads an RPM. A file that is there under several names has its content under the last of them only: the
// others are told behind it, as hard links.
func readRPM(f io.ReadSeeker, do records.Do) (_ *Info, err error) {
	at, err := checkHeaders(f)
	if err != nil {
		return nil, fmt.Errorf("RPM: %w", err)
	}
	// The library indexes what a header claims; a damaged one must not end the program.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the RPM is damaged (%v)", r)
		}
	}()
	rpm, err := rpmutils.ReadRpm(bufio.NewReaderSize(f, 1<<16))
	if err != nil {
		return nil, fmt.Errorf("RPM: %w", err)
	}
	nevra, err := rpm.Header.GetNEVRA()
	if err != nil {
		return nil, fmt.Errorf("RPM: %w", err)
	}
	info := &Info{Format: RPM, Name: nevra.Name, Version: nevra.Version + "-" + nevra.Release, Arch: nevra.Arch}
	if nevra.Epoch != "" && nevra.Epoch != "0" {
		info.Version = nevra.Epoch + ":" + info.Version
	}
	// A package may need nothing.
	if requires, err := rpm.Header.GetStrings(rpmutils.REQUIRENAME); err == nil {
		info.Depends = requires
	}
	if do == nil {
		return info, nil
	}
	if err := checkPayload(f, at, rpm.Header); err != nil {
		return nil, fmt.Errorf("RPM: %w", err)
	}
	return info, readPayload(rpm, do)
}

func readPayload(rpm *rpmutils.Rpm, do records.Do) error {
	payload, err := rpm.PayloadReaderExtended()
	if err != nil {
		return fmt.Errorf("RPM: %w", err)
	}
	names := map[int][]string{} // of files whose content is still to come, by inode
	for {
		file, err := payload.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("RPM: %w", err)
		}
		h := &tar.Header{Name: strings.TrimLeft(file.Name(), "/"), Size: file.Size(), Mode: int64(file.Mode() & 0o777)}
		switch file.Mode() & typeMask {
		case typeFile:
			h.Typeflag = tar.TypeReg
		case typeLink:
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, file.Linkname(), 0
		case typeDir:
			h.Typeflag, h.Size = tar.TypeDir, 0
		default:
			continue
		}
		inode := file.Inode()
		if payload.IsLink() {
			names[inode] = append(names[inode], h.Name)
			continue
		}
		content := io.Reader(payload)
		if h.Size == 0 {
			content = strings.NewReader("")
		}
		if err := records.One(h, io.LimitReader(content, h.Size), do); err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		for _, name := range names[inode] {
			other := &tar.Header{Name: name, Linkname: h.Name, Typeflag: tar.TypeLink}
			if err := records.One(other, strings.NewReader(""), do); err != nil {
				return err
			}
		}
		delete(names, inode)
	}
}
