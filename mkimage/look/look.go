// Package look reads a boot directory back, as mkimage made it or as somebody else left it: what is in it, what tells
// it from another one, and whether machines can start from it.
package look

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	contract "github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/internal/kmod"
	"github.com/diskcast/diskcast/internal/ramfs"
	"github.com/diskcast/diskcast/mkimage/bootdir"
)

// Limits of what is read of a directory, in bytes and in files. mkimage's own have a dozen files.
const (
	maxFile  = 4 << 30
	maxFiles = 1000
)

// Directory is a boot directory that was read.
type Directory struct {
	Path     string
	Manifest *contract.Manifest
	// Files are the files that are there, the manifest left out: name, size, sum.
	Files map[string]contract.File
	// Unread are the others, and why they cannot be read.
	Unread map[string]error
	// Archive is what a node unpacks; nil where it cannot be read, and ArchiveErr says why.
	Archive    *ramfs.Archive
	ArchiveErr error

	root *os.Root
}

// Open reads a directory. What is wrong with single files is not an error here: Verify tells.
func Open(dir string) (*Directory, error) {
	if st, err := os.Stat(dir); err == nil && !st.IsDir() {
		return nil, fmt.Errorf("%s is a file, and no boot directory", dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	d := &Directory{Path: dir, root: root, Files: map[string]contract.File{}, Unread: map[string]error{}}
	if err := d.read(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", dir, err), root.Close())
	}
	return d, nil
}

// Close ends the reading.
func (d *Directory) Close() {
	_ = d.root.Close() // nothing was written
}

func (d *Directory) read() error {
	f, err := d.open(bootdir.ManifestFile)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("no %s in it: not a boot directory that mkimage made", bootdir.ManifestFile)
	}
	if err != nil {
		return fmt.Errorf("%s cannot be read: %w; make the directory again with mkimage", bootdir.ManifestFile, err)
	}
	defer f.Close()
	if d.Manifest, err = contract.ReadManifest(f); err != nil {
		return err
	}
	err = fs.WalkDir(d.root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || name == bootdir.ManifestFile {
			return err
		}
		if len(d.Files)+len(d.Unread) == maxFiles {
			return fmt.Errorf("more than %d files", maxFiles)
		}
		if file, err := d.sum(name); err != nil {
			d.Unread[name] = err
		} else {
			d.Files[name] = file
		}
		return nil
	})
	if err != nil {
		return err
	}
	data, err := d.Read(bootdir.ArchiveFile)
	if err == nil {
		d.Archive, err = ramfs.Unpack(bytes.NewReader(data))
	}
	d.ArchiveErr = err
	return nil
}

// open opens a file. What is none would block (a FIFO) or never end (a device).
func (d *Directory) open(name string) (*os.File, error) {
	st, err := d.root.Stat(name)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, errors.New("not a file")
	}
	return d.root.Open(name)
}

// Whole tells whether every file of the directory could be read.
func (d *Directory) Whole() error {
	for _, name := range slices.Sorted(maps.Keys(d.Unread)) {
		return fmt.Errorf("%s: %s: %w", d.Path, name, d.Unread[name])
	}
	return nil
}

func (d *Directory) sum(name string) (contract.File, error) {
	f, err := d.open(name)
	if err != nil {
		return contract.File{}, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(f, maxFile+1))
	if err == nil && n > maxFile {
		err = fmt.Errorf("more than %d bytes", int64(maxFile))
	}
	return contract.File{Size: n, SHA256: hex.EncodeToString(h.Sum(nil))}, err
}

// Read returns the content of a file of the directory.
func (d *Directory) Read(name string) ([]byte, error) {
	f, err := d.open(name)
	if errors.Is(err, fs.ErrNotExist) {
		if _, named := d.Manifest.Files[name]; named {
			name += ", which the manifest names,"
		}
		return nil, errors.New(name + " is not there")
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s: more than %d bytes", name, int64(maxFile))
	}
	return data, err
}

// Record is a file of the archive.
type Record struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Where things lie in the archive.
const (
	modulesDir  = "lib/modules/"
	firmwareDir = "lib/firmware/"
	siteFile    = "etc/diskcast/site.json"
	releaseFile = "etc/diskcast/release"
)

// Records lists the files of the archive below a folder, sorted by name. Links have the sum of where they lead.
func (d *Directory) Records(below string) ([]Record, error) {
	if d.Archive == nil {
		return nil, nil
	}
	var list []Record
	for _, r := range d.Archive.Records() {
		if !strings.HasPrefix(r.Name, below) || r.Kind == ramfs.Dir {
			continue
		}
		data := []byte(r.Target)
		if r.Kind == ramfs.File {
			var err error
			if data, err = r.Data(); err != nil {
				return nil, err
			}
		}
		list = append(list, Record{r.Name, int64(len(data)), hexSum(data)})
	}
	return list, nil
}

// Modules are the modules of the archive and what they say of themselves, sorted by path.
func (d *Directory) Modules() ([]kmod.Module, error) {
	if d.Archive == nil {
		return nil, nil
	}
	var list []kmod.Module
	for _, r := range d.Archive.Records() {
		if _, is := kmod.FileName(r.Name); !is || r.Kind != ramfs.File || !strings.HasPrefix(r.Name, modulesDir) {
			continue
		}
		data, err := plainModule(r)
		if err != nil {
			return nil, err
		}
		info, err := kmod.ReadInfo(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.Name, err)
		}
		if info.Name == "" {
			info.Name, _ = kmod.FileName(r.Name)
		}
		list = append(list, kmod.Module{Path: r.Name, Info: info})
	}
	return list, nil
}

// plainModule is a module's content, unpacked where it is compressed.
func plainModule(r ramfs.Record) ([]byte, error) {
	data, err := r.Data()
	if err == nil && strings.HasSuffix(r.Name, kmod.PackedSuffix) {
		data, err = kmod.Unpack(bytes.NewReader(data))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.Name, err)
	}
	return data, nil
}

// missingFirmware are the modules that may ask for firmware of which nothing is in the archive.
func (d *Directory) missingFirmware(modules []kmod.Module) []string {
	var names, missing []string
	for _, r := range d.Archive.Records() {
		if name, ok := strings.CutPrefix(r.Name, firmwareDir); ok && r.Kind != ramfs.Dir {
			names = append(names, name)
		}
	}
	for _, m := range modules {
		if len(m.Firmware) > 0 && !slices.ContainsFunc(m.Firmware, func(pattern string) bool {
			return slices.ContainsFunc(names, func(name string) bool {
				ok, err := path.Match(pattern, name)
				return ok && err == nil || name == pattern
			})
		}) {
			missing = append(missing, m.Name)
		}
	}
	return missing
}

// text is a file of the archive, empty when it is not there.
func (d *Directory) text(name string) string {
	if d.Archive == nil {
		return ""
	}
	r, ok := d.Archive.Lookup(name)
	if !ok || r.Kind != ramfs.File {
		return ""
	}
	data, err := r.Data()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func hexSum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}
