// Package pack reads the packages of distributions, so that mkimage can take a kernel, modules, firmware or a boot
// loader out of one on any system, without that distribution's tools and without installing anything: Debian's and
// Ubuntu's (.deb), RPM, Arch's (.pkg.tar.zst) and Alpine's (.apk).
package pack

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/mkimage/deb"
	"github.com/diskcast/diskcast/mkimage/records"
)

// Formats of packages.
const (
	Deb  = "deb"
	RPM  = "rpm"
	Arch = "arch"
	APK  = "apk"
)

// magics are how files of the formats begin. Arch compresses a tar archive, with zstd since 2020; Alpine's are gzip.
var magics = []struct{ format, magic string }{
	{Deb, deb.Magic}, {RPM, "\xed\xab\xee\xdb"}, {Arch, "\x28\xb5\x2f\xfd"}, {Arch, "\xfd7zXZ\x00"},
	{APK, "\x1f\x8b\x08"},
}

// MagicSize is how many bytes of a file Format wants to see; a shorter file may have less.
const MagicSize = 8

// Format tells by the first bytes of a file which format it may have; empty for none.
func Format(first []byte) string {
	for _, m := range magics {
		if bytes.HasPrefix(first, []byte(m.magic)) {
			return m.format
		}
	}
	return ""
}

// Info is what a package says of itself.
type Info struct {
	Format, Name, Version, Arch string
	Depends                     []string // names of packages and of what else they may provide
}

// Source is the package for the manifest of a boot directory; part is what is taken from it.
func (i *Info) Source(part string) bootdir.Source {
	return bootdir.Source{Part: part, Format: i.Format, Name: i.Name, Version: i.Version, Arch: i.Arch}
}

// Open opens a package, or what may be one. A pipe or device is none: it is read in several goes, and one that nobody
// writes into would be waited for, for ever.
func Open(name string) (*os.File, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() && !st.IsDir() {
		return nil, fmt.Errorf("%s is no file but a %s: give what it brings as a file", name, kind(st.Mode()))
	}
	return os.Open(name)
}

func kind(m fs.FileMode) string {
	switch {
	case m&fs.ModeNamedPipe != 0:
		return "pipe"
	case m&fs.ModeSocket != 0:
		return "socket"
	}
	return "device"
}

// Read goes through a package and tells what it is. do may be nil: then no file is looked at.
func Read(f io.ReadSeeker, do records.Do) (*Info, error) {
	first := make([]byte, MagicSize)
	n, err := io.ReadFull(f, first)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	switch format := Format(first[:n]); format {
	case Deb:
		return readDeb(f, do)
	case RPM:
		return readRPM(f, do)
	case Arch, APK:
		return readPkgInfo(f, format, do)
	}
	return nil, errors.New("not a package of Debian, RPM, Arch or Alpine")
}

func readDeb(f io.ReadSeeker, do records.Do) (*Info, error) {
	var control string
	var err error
	if do == nil {
		control, err = deb.Control(f)
	} else { // one without a control file is read all the same: what is wanted is in its data
		control, err = deb.Read(f, do)
	}
	if err != nil {
		return nil, err
	}
	return &Info{Format: Deb, Name: deb.Field(control, "Package"), Version: deb.Field(control, "Version"),
		Arch: deb.Field(control, "Architecture"), Depends: deb.Depends(control)}, nil
}
