// Package contexts is which servers an operator has logged in to: a file of the operator's own, with a token for each.
package contexts

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Context is a server as an operator knows it.
type Context struct {
	Server string `json:"server"` // URL of its API
	Pin    string `json:"pin"`    // of its key
	Token  string `json:"token"`
}

// File is what is remembered.
type File struct {
	V       int                `json:"v"`
	Current string             `json:"current,omitempty"` // which commands mean that name no server
	Servers map[string]Context `json:"servers"`           // by name
}

const (
	version = 1
	maxSize = 1 << 20
)

// Path is where the file is: $DISKCAST_CONTEXTS, or in the user's configuration directory. It is empty for somebody
// without one, as services are.
func Path() string {
	if p := os.Getenv("DISKCAST_CONTEXTS"); p != "" {
		return p
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "diskcast", "contexts.json")
}

// Load reads the file. One that is not there is empty.
func Load(path string) (*File, error) {
	f := &File{V: version, Servers: map[string]Context{}}
	if path == "" {
		return f, nil
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
		return f, nil
	} else if err != nil {
		return nil, err
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, maxSize+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxSize {
		return nil, fmt.Errorf("%s is larger than %d bytes: it is no file of diskcast's", path, maxSize)
	}
	if err := json.Unmarshal(b, f); err != nil {
		return nil, fmt.Errorf("%s is damaged (%w): remove it, and log in anew", path, err)
	}
	if f.V != version {
		return nil, fmt.Errorf("%s has version %d, and this program knows %d: a newer diskcast wrote it", path, f.V,
			version)
	}
	if f.Servers == nil {
		f.Servers = map[string]Context{}
	}
	return f, nil
}

// Save writes the file, which only its owner may read, whole or not at all.
func (f *File) Save(path string) error {
	if path == "" {
		return errors.New("there is no place to remember a server in: set HOME, or DISKCAST_CONTEXTS to a file's name")
	}
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, ".contexts-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(append(b, '\n'))
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// Names are the names of all servers, sorted.
func (f *File) Names() []string { return slices.Sorted(maps.Keys(f.Servers)) }

// At is the one whose API is at the URL, the current one before others; nil when there is none.
func (f *File) At(url string) *Context {
	for _, name := range append([]string{f.Current}, f.Names()...) {
		if c, ok := f.Servers[name]; ok && c.Server == url {
			return &c
		}
	}
	return nil
}
