package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/ansi"
	"github.com/diskcast/diskcast/mkimage/bootdir"
	"github.com/diskcast/diskcast/mkimage/look"
)

// openSerial opens the file for the serial console of a node that starts from a directory, whose own files it is not.
// A pipe that nobody reads is refused: opening it would wait for a reader, for ever.
func openSerial(name string, d *look.Directory) (*os.File, error) {
	st, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return os.Create(name)
	}
	if err != nil {
		return nil, err
	}
	files := []string{bootdir.ManifestFile}
	for file := range d.Files {
		files = append(files, file)
	}
	for _, file := range files {
		if other, err := os.Stat(filepath.Join(d.Path, file)); err == nil && os.SameFile(st, other) {
			return nil, usageError{fmt.Errorf("%s is a file of the boot directory (%s): name another", name, file)}
		}
	}
	if st.Mode()&fs.ModeNamedPipe == 0 {
		return os.Create(name)
	}
	f, err := os.OpenFile(name, os.O_WRONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ENXIO) {
		return nil, fmt.Errorf("%s is a pipe that nobody reads: start its reader first, or name a file", name)
	}
	return f, err
}

// maxEnd is how much of a console's end is shown, in bytes.
const maxEnd = 3000

// consoleEnd is the end of a console's log as text; empty where it cannot be read.
func consoleEnd(name string) string {
	f, err := os.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return ""
	}
	text, err := io.ReadAll(io.NewSectionReader(f, max(0, st.Size()-maxEnd), maxEnd))
	if err != nil {
		return ""
	}
	var filter ansi.Filter
	return string(filter.Write(text))
}
