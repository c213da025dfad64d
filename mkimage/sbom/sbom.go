// Package sbom says what a boot directory is made of, in SPDX 2.3 (https://spdx.github.io/spdx-spec/v2.3/): packages of
// distributions, boot loaders, kernel modules, firmware, and the Go modules that the userland was compiled from.
package sbom

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	contract "github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/internal/ramfs"
	"github.com/diskcast/diskcast/mkimage/bootdir"
	"github.com/diskcast/diskcast/mkimage/look"
)

// Document is the root of SPDX's JSON.
type Document struct {
	Version       string         `json:"spdxVersion"`
	License       string         `json:"dataLicense"`
	ID            string         `json:"SPDXID"`
	Name          string         `json:"name"`
	Namespace     string         `json:"documentNamespace"`
	Creation      Creation       `json:"creationInfo"`
	Packages      []Package      `json:"packages"`
	Files         []File         `json:"files"`
	Relationships []Relationship `json:"relationships"`
}

// Creation says who made the document and when.
type Creation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

// Package is a package of a distribution, a Go module, or the boot directory itself.
type Package struct {
	ID            string      `json:"SPDXID"`
	Name          string      `json:"name"`
	Version       string      `json:"versionInfo,omitempty"`
	Download      string      `json:"downloadLocation"`
	FilesAnalyzed bool        `json:"filesAnalyzed"`
	Purpose       string      `json:"primaryPackagePurpose,omitempty"`
	Comment       string      `json:"comment,omitempty"`
	References    []Reference `json:"externalRefs,omitempty"`
}

// Reference is a package's name in the world, as a package URL.
type Reference struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

// File is a file of the directory, or of the archive.
type File struct {
	ID        string     `json:"SPDXID"`
	Name      string     `json:"fileName"`
	Types     []string   `json:"fileTypes,omitempty"`
	Checksums []Checksum `json:"checksums"`
	Copyright string     `json:"copyrightText"`
	License   string     `json:"licenseConcluded"`
	Comment   string     `json:"comment,omitempty"`
}

// Checksum of a file; SPDX wants SHA-1 of every one.
type Checksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

// Relationship of two of them.
type Relationship struct {
	From string `json:"spdxElementId"`
	Type string `json:"relationshipType"`
	To   string `json:"relatedSpdxElement"`
}

// noAssertion is SPDX's word for what this document does not say.
const noAssertion = "NOASSERTION"

const (
	documentID = "SPDXRef-DOCUMENT"
	rootID     = "SPDXRef-BootDirectory"
)

// maker collects a document.
type maker struct {
	d       *look.Directory
	doc     *Document
	sources map[string][]string // part of the directory: ids of the packages that it came from
}

// Make describes a directory, which must be as it was made. The zero time stands for 1970: the same directory gives
// the same bytes.
func Make(d *look.Directory, created time.Time, tool string) (*Document, error) {
	// Else it would name sums of files that mkimage did not make.
	if err := d.AllAsMade(); err != nil {
		return nil, err
	}
	if d.Archive == nil {
		return nil, fmt.Errorf("%s: %w", bootdir.ArchiveFile, d.ArchiveErr)
	}
	if created.IsZero() {
		created = time.Unix(0, 0)
	}
	manifest, err := json.Marshal(d.Manifest)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(manifest)
	doc := &Document{Version: "SPDX-2.3", License: "CC0-1.0", ID: documentID, Name: "diskcast boot directory",
		Namespace: "https://github.com/diskcast/diskcast/spdx/boot-" + hex.EncodeToString(sum[:]),
		Creation: Creation{created.UTC().Format("2006-01-02T15:04:05Z"),
			[]string{"Tool: " + strings.ReplaceAll(tool, " ", "-")}}}
	m := &maker{d: d, doc: doc, sources: map[string][]string{}}
	m.add(Package{ID: rootID, Name: "boot directory", Purpose: "OPERATING-SYSTEM",
		Comment: "Linux " + d.Manifest.Kernel + ", made by " + d.Manifest.Generator}, documentID, "DESCRIBES")
	m.packages()
	if err := m.goModules(); err != nil {
		return nil, err
	}
	if err := m.files(); err != nil {
		return nil, err
	}
	return doc, m.archive()
}

func (m *maker) relate(from, kind, to string) {
	m.doc.Relationships = append(m.doc.Relationships, Relationship{from, kind, to})
}

func (m *maker) add(p Package, from, kind string) {
	p.Download = noAssertion
	m.doc.Packages = append(m.doc.Packages, p)
	m.relate(from, kind, p.ID)
}

// packages adds those of distributions.
func (m *maker) packages() {
	for i, s := range m.d.Manifest.Sources {
		p := Package{ID: fmt.Sprintf("SPDXRef-Package-%d", i+1), Name: s.Name, Version: s.Version,
			Comment: "of it: " + s.Part}
		if locator := packageURL(s); locator != "" {
			p.References = []Reference{{"PACKAGE-MANAGER", "purl", locator}}
		}
		m.add(p, rootID, "DEPENDS_ON")
		m.sources[s.Part] = append(m.sources[s.Part], p.ID)
	}
}

// packageURL is the package's purl (https://github.com/package-url/purl-spec). The distribution is told by the version.
func packageURL(s contract.Source) string {
	kind := map[string]string{"deb": "deb/debian", "arch": "alpm/arch", "apk": "apk/alpine"}[s.Format]
	switch {
	case kind == "":
		return "" // an RPM does not say whose it is
	case s.Format == "deb" && strings.Contains(s.Version, "ubuntu"):
		kind = "deb/ubuntu"
	}
	locator := fmt.Sprintf("pkg:%s/%s@%s", kind, s.Name, url.QueryEscape(s.Version))
	if s.Arch != "" {
		locator += "?arch=" + url.QueryEscape(s.Arch)
	}
	return locator
}

func (m *maker) files() error {
	arch := m.d.Manifest.Arch.OrDefault()
	from := map[string]string{bootdir.KernelFile: "kernel", arch.Shim(): "shim", arch.GRUB(): "grub",
		contract.MemtestBIOS: "memtest", contract.MemtestUEFI: "memtest"}
	for _, name := range slices.Sorted(maps.Keys(m.d.Files)) {
		data, err := m.d.Read(name)
		if err != nil {
			return err
		}
		id := m.file("./"+name, data, fileType(name), "")
		m.relate(rootID, "CONTAINS", id)
		for _, source := range m.sources[from[name]] {
			m.relate(id, "GENERATED_FROM", source)
		}
	}
	return nil
}

// archive adds kernel modules, firmware and the userland's program, which lie in the archive.
func (m *maker) archive() error {
	modules, err := m.d.Modules()
	if err != nil {
		return err
	}
	is := map[string]string{}
	for _, mod := range modules {
		is[mod.Path] = "kernel module " + mod.Name
	}
	for _, r := range m.d.Archive.Records() {
		comment, part := is[r.Name], "modules"
		switch {
		case r.Kind != ramfs.File:
			continue
		case strings.HasPrefix(r.Name, "lib/firmware/"):
			comment, part = "firmware", "firmware"
		case r.Name == userlandProgram:
			comment, part = "the node's userland", ""
		case comment == "":
			continue
		}
		data, err := r.Data()
		if err != nil {
			return err
		}
		id := m.file("./"+bootdir.ArchiveFile+"/"+r.Name, data, "BINARY", comment)
		m.relate(rootID, "CONTAINS", id)
		// The modules of most distributions are in the kernel's package.
		sources := m.sources[part]
		if part == "modules" && len(sources) == 0 {
			sources = m.sources["kernel"]
		}
		if len(sources) == 1 {
			m.relate(id, "GENERATED_FROM", sources[0])
		}
	}
	return nil
}

func fileType(name string) string {
	switch {
	case name == bootdir.ArchiveFile:
		return "ARCHIVE"
	case name == bootdir.ScriptFile || strings.HasSuffix(name, ".cfg"):
		return "TEXT"
	}
	return "BINARY"
}

func (m *maker) file(name string, data []byte, kind, comment string) (id string) {
	one, two := sha1.Sum(data), sha256.Sum256(data)
	id = fmt.Sprintf("SPDXRef-File-%d", len(m.doc.Files)+1)
	m.doc.Files = append(m.doc.Files, File{ID: id, Name: name, Types: []string{kind}, Copyright: noAssertion,
		License: noAssertion, Comment: comment, Checksums: []Checksum{{"SHA1", hex.EncodeToString(one[:])},
			{"SHA256", hex.EncodeToString(two[:])}}})
	return id
}
