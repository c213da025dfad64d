package personal

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// Limits of an archive.
const (
	MaxArchive  = 256 << 10 // bytes, as it is given
	MaxUnpacked = 16 << 20  // bytes of all its files
	MaxMembers  = 4096
)

// Archive is a tar, as it is or by gzip, that is unpacked into the restored system. Its content is secret.
type Archive struct {
	File    string `json:"-" toml:"file"`              // where the operator's command reads it
	Into    string `json:"into,omitempty" toml:"into"` // a folder of the restored system; empty: its root
	Content string `json:"content" toml:"-"`           // base64
}

// Member is a file, folder or symbolic link of an archive.
type Member struct {
	Name     string // absolute, in the restored system
	Mode     uint32
	UID, GID int
	Dir      bool
	Link     string // where a symbolic link leads
	Content  []byte // of a file
}

// Members reads the archive. Whatever leads out of the restored system, or could not be unpacked as it is, is refused.
func (a *Archive) Members() ([]Member, error) {
	raw, err := base64.StdEncoding.DecodeString(a.Content)
	if err != nil {
		return nil, errors.New("archive: its content is not base64")
	}
	if len(raw) > MaxArchive {
		return nil, fmt.Errorf("archive: %d bytes, at most %d are taken", len(raw), MaxArchive)
	}
	var r io.Reader = bytes.NewReader(raw)
	if bytes.HasPrefix(raw, []byte{0x1f, 0x8b}) {
		if r, err = gzip.NewReader(r); err != nil {
			return nil, fmt.Errorf("archive: gzip: %w", err)
		}
	}
	// Headers and padding count too, so that nothing is read for ever.
	limited := &io.LimitedReader{R: r, N: MaxUnpacked + MaxMembers*2048 + 1}
	tr := tar.NewReader(limited)
	var out []Member
	seen, total := map[string]bool{}, int64(0)
	for {
		h, err := tr.Next()
		if limited.N <= 0 {
			return nil, fmt.Errorf("archive: unpacked it has more than %d bytes", MaxUnpacked)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("archive: %w", err)
		}
		m, err := a.member(h)
		if err != nil {
			return nil, err
		}
		if m == nil {
			continue
		}
		if total += h.Size; h.Size > MaxUnpacked || total > MaxUnpacked {
			return nil, fmt.Errorf("archive: unpacked it has more than %d bytes", MaxUnpacked)
		}
		if seen[m.Name] {
			return nil, fmt.Errorf("archive: %.100q is in it twice", h.Name)
		}
		seen[m.Name] = true
		if m.Content, err = io.ReadAll(tr); err != nil {
			return nil, fmt.Errorf("archive: %.100q: %w", h.Name, err)
		}
		if out = append(out, *m); len(out) > MaxMembers {
			return nil, fmt.Errorf("archive: more than %d files and folders", MaxMembers)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("archive: there is nothing in it: a tar, or a tar by gzip, is wanted")
	}
	// The end of a gzip has the sum of all.
	if _, err := io.Copy(io.Discard, limited); err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	return out, nil
}

// member judges a header; nil for the folder itself that all is unpacked into.
func (a *Archive) member(h *tar.Header) (*Member, error) {
	name := h.Name
	switch {
	case path.IsAbs(name):
		return nil, fmt.Errorf("archive: %.100q begins with /: name what is in it from the root of the restored "+
			"system without it", name)
	case len(name) > 1024 || hasControls(name):
		return nil, fmt.Errorf("archive: the name %.100q is too long, or has control characters", name)
	case strings.Contains("/"+name+"/", "/../"):
		return nil, fmt.Errorf("archive: %.100q leads out of the restored system", name)
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "SCHILY.xattr.") && key != "SCHILY.xattr.security.selinux" {
			return nil, fmt.Errorf("archive: %.100q has extended attributes (%s), which are not unpacked: make it "+
				"with tar --no-xattrs", name, key)
		}
	}
	m := &Member{Name: path.Join("/", a.Into, name), Mode: uint32(h.Mode) & 0o7777, UID: h.Uid, GID: h.Gid}
	if h.Uid < 0 || h.Gid < 0 || h.Uid > 1<<31-2 || h.Gid > 1<<31-2 {
		return nil, fmt.Errorf("archive: %.100q: uid or gid out of range", name)
	}
	top := m.Name == path.Join("/", a.Into)
	switch {
	case h.Typeflag == tar.TypeDir && top:
		return nil, nil
	case h.Typeflag == tar.TypeDir:
		m.Dir = true
	case top:
		return nil, fmt.Errorf("archive: %.100q would be in the place of a folder", name)
	case h.Typeflag == tar.TypeReg:
	case h.Typeflag == tar.TypeSymlink:
		if err := inside(path.Dir(m.Name), h.Linkname); err != nil {
			return nil, fmt.Errorf("archive: %.100q: %w", name, err)
		}
		m.Link = h.Linkname
	default:
		return nil, fmt.Errorf("archive: %.100q is neither a file, a folder nor a symbolic link", name)
	}
	return m, nil
}

// inside refuses a link that leads out of the root.
func inside(from, to string) error {
	switch {
	case to == "" || len(to) > 1024 || hasControls(to):
		return errors.New("a link without a place, or with control characters")
	case path.IsAbs(to):
		return fmt.Errorf("a link to %.100q: only links without / at their start are unpacked", to)
	}
	depth := strings.Count(strings.TrimSuffix(from, "/"), "/")
	for e := range strings.SplitSeq(to, "/") {
		switch e {
		case "", ".":
		case "..":
			if depth--; depth < 0 {
				return fmt.Errorf("a link to %.100q leads out of the restored system", to)
			}
		default:
			depth++
		}
	}
	return nil
}

// checkArchive judges it, and what else is written where it unpacks.
func (s *Settings) checkArchive() error {
	a := s.Archive
	if a == nil {
		return nil
	}
	if a.Into != "" && (!path.IsAbs(a.Into) || path.Clean(a.Into) != a.Into || len(a.Into) > 1024) {
		return fmt.Errorf("archive: into %.100q: a folder from the root of the restored system, such as /opt/lab",
			a.Into)
	}
	if a.Content == Sealed {
		return fmt.Errorf("archive: %s stands where something secret was: give that itself", Sealed)
	}
	members, err := a.Members()
	if err != nil {
		return err
	}
	files := map[string]bool{}
	for _, f := range s.Files {
		files[f.Path] = true
	}
	for _, m := range members {
		if by := s.owner(m.Name); by != "" && !m.Dir {
			return fmt.Errorf("archive: %.100q is written by %s too: give one of the two", m.Name, by)
		}
		if files[m.Name] {
			return fmt.Errorf("archive: %.100q is one of the files too: give one of the two", m.Name)
		}
	}
	return nil
}
