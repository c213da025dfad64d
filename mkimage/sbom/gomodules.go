package sbom

import (
	"bytes"
	"debug/buildinfo"
	"fmt"
	"strings"

	"github.com/diskcast/diskcast/internal/ramfs"
)

// userlandProgram is the one program of the userland; all commands are links to it.
const userlandProgram = "bbin/bb"

// modulesFile lists the Go modules of the userland: "PATH VERSION" lines. The program itself is compiled from a tree
// without a go.mod, so that Go's own record in it names no module.
const modulesFile = "etc/diskcast/go-modules"

// goModules adds what the userland was compiled from.
func (m *maker) goModules() error {
	r, ok := m.d.Archive.Lookup(userlandProgram)
	if !ok || r.Kind != ramfs.File {
		return nil
	}
	data, err := r.Data()
	if err != nil {
		return err
	}
	info, err := buildinfo.Read(bytes.NewReader(data))
	if err != nil {
		// Said in the document: a list that lacks them must not look like one that has all.
		m.doc.Packages[0].Comment += fmt.Sprintf("; the Go modules of its %s are not known (%v)", userlandProgram, err)
		return nil
	}
	m.recorded(info)
	list, ok := m.d.Archive.Lookup(modulesFile)
	if !ok || list.Kind != ramfs.File || len(info.Deps) > 0 {
		return nil
	}
	text, err := list.Data()
	if err != nil {
		return err
	}
	return m.listed(string(text))
}

// recorded adds what Go's own record names.
func (m *maker) recorded(info *buildinfo.BuildInfo) {
	m.goModule("stdlib", strings.TrimPrefix(info.GoVersion, "go"))
	for _, d := range info.Deps {
		if d.Replace != nil {
			d = d.Replace
		}
		m.goModule(d.Path, d.Version)
	}
}

// listed adds the modules of a list.
func (m *maker) listed(text string) error {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) != 2 {
			return fmt.Errorf("%s: %.80q is not PATH VERSION", modulesFile, line)
		}
		m.goModule(words[0], words[1])
	}
	return nil
}

func (m *maker) goModule(path, version string) {
	id := fmt.Sprintf("SPDXRef-GoModule-%d", len(m.doc.Packages))
	m.add(Package{ID: id, Name: path, Version: version, Purpose: "LIBRARY", References: []Reference{{"PACKAGE-MANAGER",
		"purl", "pkg:golang/" + path + "@" + version}}}, rootID, "DEPENDS_ON")
}
