package grub

import (
	"errors"
	"fmt"
	"strings"
)

// pattern is a word with a mark on each byte that a wildcard may be: those outside quotes.
type pattern struct {
	text string
	wild []bool
}

// builder puts a pattern together.
type builder struct {
	text strings.Builder
	wild []bool
}

func (b *builder) add(text string, quoted bool) {
	b.text.WriteString(text)
	for i := range len(text) {
		b.wild = append(b.wild, !quoted && (text[i] == '*' || text[i] == '?'))
	}
}

func (b *builder) pattern() pattern { return pattern{b.text.String(), b.wild} }

func (p pattern) has() bool {
	for _, w := range p.wild {
		if w {
			return true
		}
	}
	return false
}

// cut returns the pattern of the bytes from i to j.
func (p pattern) cut(i, j int) pattern { return pattern{p.text[i:j], p.wild[i:j]} }

// matches tells whether a name fits: * is any bytes, ? is one.
func (p pattern) matches(name string) bool {
	// star and mark are where the last * was, in the pattern and in the name, to try it longer.
	i, j, star, mark := 0, 0, -1, 0
	for j < len(name) {
		switch {
		case i < len(p.text) && p.wild[i] && p.text[i] == '*':
			star, mark = i, j
			i++
		case i < len(p.text) && (p.wild[i] || p.text[i] == name[j]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(p.text) && p.wild[i] && p.text[i] == '*' {
		i++
	}
	return i == len(p.text)
}

// devices tells whether names of devices, as (hd0), may fit the first part of a word.
func (p pattern) devices() bool {
	end := strings.IndexByte(p.text, '/')
	if end < 0 {
		end = len(p.text)
	}
	return end > 0 && p.wild[0] && (p.wild[end-1] || p.text[end-1] == ')')
}

// glob returns the files that fit a word with wildcards, or the word itself: when it has none, when it does not begin
// with a device or "/", or when nothing fits.
func (s *shell) glob(p pattern) ([]string, error) {
	if p.devices() {
		return nil, &Restart{Why: fmt.Sprintf("its configuration looks for devices whose names fit %s, and only GRUB "+
			"sees them", p.text)}
	}
	if !p.has() || !strings.HasPrefix(p.text, "/") && !strings.HasPrefix(p.text, "(") {
		return []string{p.text}, nil
	}
	heads := []string{""}
	rest := p
	if p.text[0] == '(' {
		end := strings.IndexByte(p.text, ')')
		if end < 0 {
			return []string{p.text}, nil
		}
		heads, rest = nil, p.cut(end+1, len(p.text))
		if !strings.HasPrefix(rest.text, "/") {
			return []string{p.text}, nil
		}
		if p.cut(1, end).has() {
			return nil, &Restart{Why: fmt.Sprintf("its configuration looks on all disks for %s, and only GRUB sees "+
				"them", p.text)}
		}
		heads = []string{p.text[:end+1]}
	}
	var out []string
	for _, head := range heads {
		found, err := s.globPath(head, "", rest)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	if len(out) == 0 {
		return []string{p.text}, nil
	}
	return out, nil
}

// globPath finds what fits rest below a directory that has been found. Names stay as they are written, "//" and all.
func (s *shell) globPath(device, dir string, rest pattern) ([]string, error) {
	if err := s.step(); err != nil {
		return nil, err
	}
	for rest.text != "" && rest.text[0] == '/' {
		dir, rest = dir+"/", rest.cut(1, len(rest.text))
	}
	if rest.text == "" {
		if f, err := s.locate(device + dir); strings.HasSuffix(dir, "/") &&
			(err != nil || !s.files.Exists(f.Device, f.Path, true)) {
			return nil, nil
		}
		return []string{device + dir}, nil
	}
	end := strings.IndexByte(rest.text, '/')
	if end < 0 {
		end = len(rest.text)
	}
	elem, rest := rest.cut(0, end), rest.cut(end, len(rest.text))
	if !elem.has() {
		if rest.text == "" && !s.exists(device+dir+elem.text) {
			return nil, nil
		}
		return s.globPath(device, dir+elem.text, rest)
	}
	f, err := s.locate(device + dir)
	if err != nil {
		return nil, s.missing(device + dir)
	}
	names, err := s.files.List(f.Device, f.Path)
	if err != nil {
		return nil, s.missing(device + dir)
	}
	below := map[string][]string{}
	var fit []string
	total := 0
	for _, n := range names {
		if !elem.matches(n) {
			continue
		}
		found, err := s.globPath(device, dir+n, rest)
		if err != nil {
			return nil, err
		}
		if total += len(found); total > maxEntries {
			return nil, limit("more than %d files for a wildcard", maxEntries)
		}
		if len(found) > 0 {
			below[n], fit = found, append(fit, n)
		}
	}
	var out []string
	for _, n := range s.inOrder(device+dir+elem.text, fit) {
		out = append(out, below[n]...)
	}
	return out, nil
}

// exists tells whether a name is in its directory.
func (s *shell) exists(name string) bool {
	f, err := s.locate(name)
	if err != nil {
		return false
	}
	_, is := s.files.Listed(f.Device, f.Path)
	return is
}

var (
	errNoDevice  = errors.New("is not a partition of this disk")
	errRefused   = errors.New("is no name of a file or device to GRUB") // on any machine
	errOtherDisk = errors.New("is on a disk other than hd0, the one that the machine starts from")
)
