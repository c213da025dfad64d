package userland

import (
	"bytes"
	"cmp"
	"context"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Share is what a command adds to the binary.
type Share struct {
	Command string
	Bytes   int64 // code and data of the packages that only this command needs
}

// Shares compiles the commands with symbols and says how many bytes of code and data each of them is alone in needing.
// The rest, first of all the Go runtime, is what several need.
func Shares(ctx context.Context, o Options, dir string) (shares []Share, rest int64, err error) {
	commands, err := Commands(filepath.Join(o.Module, "initramfs", "tools.go"))
	if err != nil {
		return nil, 0, err
	}
	commands = append(commands, o.Agent)
	src, err := Generate(o, filepath.Join(dir, "src"), commands)
	if err != nil {
		return nil, 0, err
	}
	bin := filepath.Join(dir, "bb")
	if err := src.Compile(ctx, bin, Symbols); err != nil {
		return nil, 0, err
	}
	sizes, err := packageSizes(bin)
	if err != nil {
		return nil, 0, err
	}
	imports, err := src.imports(ctx)
	if err != nil {
		return nil, 0, err
	}
	shares, rest = divide(commands, sizes, imports)
	return shares, rest, nil
}

// divide gives each package's bytes to the command that reaches it, if there is only one.
func divide(commands []string, sizes map[string]int64, imports map[string][]string) (shares []Share, rest int64) {
	users := map[string][]string{}
	for _, c := range commands {
		for _, p := range reach(c, imports) {
			users[p] = append(users[p], c)
		}
	}
	own := map[string]int64{}
	for p, n := range sizes {
		if u := users[p]; len(u) == 1 {
			own[u[0]] += n
		} else {
			rest += n
		}
	}
	for _, c := range commands {
		shares = append(shares, Share{path.Base(c), own[c]})
	}
	slices.SortFunc(shares, func(a, b Share) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), strings.Compare(a.Command, b.Command))
	})
	return shares, rest
}

func reach(from string, imports map[string][]string) []string {
	seen := map[string]bool{from: true}
	list := []string{from}
	for i := 0; i < len(list); i++ {
		for _, p := range imports[list[i]] {
			if !seen[p] {
				seen[p] = true
				list = append(list, p)
			}
		}
	}
	return list
}

// imports is the import graph of the generated program.
func (s *Source) imports(ctx context.Context) (map[string][]string, error) {
	cmd := s.command(ctx, "list", "-deps", "-json=ImportPath,Imports", "-tags", strings.Join(buildTags, ","), ".")
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return nil, fmt.Errorf("imports of the userland: %w", err)
	}
	graph := map[string][]string{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return graph, nil
		}
		if err != nil {
			return nil, fmt.Errorf("imports of the userland: %w", err)
		}
		graph[p.ImportPath] = p.Imports
	}
}

// packageSizes sums the sizes of a binary's symbols by package.
func packageSizes(bin string) (map[string]int64, error) {
	f, err := elf.Open(bin)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	symbols, err := f.Symbols()
	if err != nil {
		return nil, err
	}
	sizes := map[string]int64{}
	for _, s := range symbols {
		// Memory that starts as zero is not in the file.
		if i := int(s.Section); i < len(f.Sections) && f.Sections[i].Type == elf.SHT_NOBITS {
			continue
		}
		sizes[symbolPackage(s.Name)] += int64(s.Size)
	}
	return sizes, nil
}

// symbolPackage is the import path in the name of a symbol: up to the first dot after the last slash. The linker writes
// dots and other bytes of the last element as in a URL. Types and strings of no package have other forms, and the
// result is no package.
func symbolPackage(name string) string {
	// The arguments of a generic function are import paths too.
	head, _, _ := strings.Cut(name, "[")
	slash := strings.LastIndexByte(head, '/') + 1
	dot := strings.IndexByte(head[slash:], '.')
	if dot < 0 {
		return ""
	}
	p, err := url.PathUnescape(head[:slash+dot])
	if err != nil {
		return ""
	}
	return p
}
