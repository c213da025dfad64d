package pack

import (
	"archive/tar"
	"bufio"
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

// readRPM reads an RPM. A file that is there under several names has its content under the last of them only; kernels
// and modules have one name each.
func readRPM(f io.Reader, do records.Do) (_ *Info, err error) {
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
	payload, err := rpm.PayloadReaderExtended()
	if err != nil {
		return nil, fmt.Errorf("RPM: %w", err)
	}
	for {
		file, err := payload.Next()
		if errors.Is(err, io.EOF) {
			return info, nil
		}
		if err != nil {
			return nil, fmt.Errorf("RPM: %w", err)
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
		if payload.IsLink() {
			continue
		}
		content := io.Reader(payload)
		if h.Size == 0 {
			content = strings.NewReader("")
		}
		if err := records.One(h, io.LimitReader(content, h.Size), do); err != nil {
			return nil, err
		}
	}
}
