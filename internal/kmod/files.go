package kmod

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

// The files of a folder /lib/modules/RELEASE that an Index is written to and read from: modules.dep(5), and the others
// beside it.
const (
	depFile     = "modules.dep"
	aliasFile   = "modules.alias"
	softdepFile = "modules.softdep"
	builtinFile = "modules.builtin"
)

// Limits of the parsers. A Debian kernel has 4,000 modules and 20,000 aliases.
const (
	maxLine  = 1 << 20
	maxLines = 1 << 20
)

// Files returns the text files of an index: name and content. The same index gives the same bytes.
func (x *Index) Files() (map[string][]byte, error) {
	var dep, aliases, softdep, builtin bytes.Buffer
	aliases.WriteString("# Aliases extracted from modules themselves.\n")
	softdep.WriteString("# Soft dependencies extracted from modules themselves.\n")
	for _, m := range x.Modules() {
		order, err := x.Order(m.Name, false)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&dep, "%s:", m.Path)
		// Readers of this file go through it from the end: what is needed by all stands last.
		for i := len(order) - 2; i >= 0; i-- {
			fmt.Fprintf(&dep, " %s", order[i].Path)
		}
		dep.WriteByte('\n')
		if len(m.SoftPre)+len(m.SoftPost) > 0 {
			fmt.Fprintf(&softdep, "softdep %s%s%s\n", m.Name, words(" pre:", m.SoftPre), words(" post:", m.SoftPost))
		}
	}
	for _, a := range x.aliases {
		fmt.Fprintf(&aliases, "alias %s %s\n", a.pattern, a.module)
	}
	for _, b := range slices.Sorted(maps.Keys(x.builtin)) {
		fmt.Fprintf(&builtin, "kernel/%s.ko\n", b)
	}
	return map[string][]byte{depFile: dep.Bytes(), aliasFile: aliases.Bytes(), softdepFile: softdep.Bytes(),
		builtinFile: builtin.Bytes()}, nil
}

func words(head string, list []string) string {
	if len(list) == 0 {
		return ""
	}
	return head + " " + strings.Join(list, " ")
}

// Load reads the text files of a folder /lib/modules/RELEASE. Only modules.dep must be there.
func Load(dir fs.FS) (*Index, error) {
	modules, err := parseWith(dir, depFile, parseDep)
	if err != nil {
		return nil, err
	}
	byName := map[string]*Module{}
	for i := range modules {
		byName[modules[i].Name] = &modules[i]
	}
	aliases, err := optional(parseWith(dir, aliasFile, parseAlias))
	if err != nil {
		return nil, err
	}
	for _, a := range aliases {
		if m, ok := byName[a.module]; ok {
			m.Aliases = append(m.Aliases, a.pattern)
		}
	}
	softdeps, err := optional(parseWith(dir, softdepFile, parseSoftdep))
	if err != nil {
		return nil, err
	}
	for _, s := range softdeps {
		if m, ok := byName[s.Name]; ok {
			m.SoftPre, m.SoftPost = append(m.SoftPre, s.SoftPre...), append(m.SoftPost, s.SoftPost...)
		}
	}
	builtin, err := optional(parseWith(dir, builtinFile, parseBuiltin))
	if err != nil {
		return nil, err
	}
	return NewIndex(modules, builtin)
}

// ReadBuiltin reads the list of the modules that are part of a kernel image: modules.builtin.
func ReadBuiltin(r io.Reader) ([]string, error) { return parseBuiltin(r) }

func parseWith[T any](dir fs.FS, name string, parse func(io.Reader) ([]T, error)) ([]T, error) {
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := parse(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return list, nil
}

func optional[T any](list []T, err error) ([]T, error) {
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return list, err
}

// parseDep reads "PATH: PATH PATH": a module and all that it needs.
func parseDep(r io.Reader) ([]Module, error) {
	var list []Module
	err := eachLine(r, func(line string) error {
		file, deps, ok := strings.Cut(line, ":")
		name, isModule := FileName(file)
		if !ok || !isModule || strings.ContainsAny(file, " \t") {
			return fmt.Errorf("%.80q is not MODULE: MODULES", line)
		}
		m := Module{Path: file, Info: Info{Name: name}}
		for _, d := range strings.Fields(deps) {
			dep, ok := FileName(d)
			if !ok {
				return fmt.Errorf("%s: %.80q is not a module", file, d)
			}
			m.Depends = append(m.Depends, dep)
		}
		list = append(list, m)
		return nil
	})
	return list, err
}

// parseAlias reads "alias PATTERN MODULE".
func parseAlias(r io.Reader) ([]alias, error) {
	var list []alias
	err := eachLine(r, func(line string) error {
		f := strings.Fields(line)
		if len(f) != 3 || f[0] != "alias" {
			return fmt.Errorf("%.80q is not alias PATTERN MODULE", line)
		}
		list = append(list, alias{f[1], Name(f[2])})
		return nil
	})
	return list, err
}

// parseSoftdep reads "softdep MODULE pre: NAMES post: NAMES".
func parseSoftdep(r io.Reader) ([]Info, error) {
	var list []Info
	err := eachLine(r, func(line string) error {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "softdep" {
			return fmt.Errorf("%.80q is not softdep MODULE pre: NAMES post: NAMES", line)
		}
		m := Info{Name: Name(f[1])}
		m.addSoft(strings.Join(f[2:], " "))
		list = append(list, m)
		return nil
	})
	return list, err
}

// parseBuiltin reads the path of a module on each line, which no file has.
func parseBuiltin(r io.Reader) ([]string, error) {
	var list []string
	err := eachLine(r, func(line string) error {
		name, ok := FileName(line)
		if !ok {
			return fmt.Errorf("%.80q is not a module", line)
		}
		list = append(list, name)
		return nil
	})
	return list, err
}

func eachLine(r io.Reader, do func(string) error) error {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine)
	for n := 1; s.Scan(); n++ {
		if n > maxLines {
			return fmt.Errorf("more than %d lines", maxLines)
		}
		line := strings.TrimSpace(s.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if err := do(line); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return s.Err()
}
