package main

import (
	"embed"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb" // a format of nfpm.Get
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm" // a format of nfpm.Get
)

// embedded are the unit, the user and what runs when a package comes and goes.
//
//go:embed files
var embedded embed.FS

// build is what all packages of a commit share.
type build struct {
	version string
	time    time.Time
}

// number is the packages' version: later commits are newer packages.
func (p *build) number() string {
	return "0." + p.time.Format("20060102.150405") + "+" + strings.ReplaceAll(p.version, "-", ".")
}

const description = `Puts disk images on many machines at once, by multicast
The server of diskcast: it boots machines over the network, puts one disk image on all of them at once by encrypted,
reliable multicast, and starts the restored system.
The machines that it images are amd64 or, with UEFI, arm64, whatever the server's own processor is: mkimage carries the
userland for both.`

// pack writes a package and returns the name of its file.
func (p *build) pack(w io.Writer, format, arch, programs string) (string, error) {
	packager, err := nfpm.Get(format)
	if err != nil {
		return "", err
	}
	temp, err := os.MkdirTemp("", "diskcast-pack-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temp)
	info := &nfpm.Info{
		Name: "diskcast", Arch: arch, Platform: "linux", Version: p.number(), VersionSchema: "none", Section: "admin",
		Priority: "optional", Maintainer: "The diskcast project <packages@diskcast.invalid>",
		Description: description, Homepage: "https://github.com/diskcast/diskcast", License: "Apache-2.0",
		MTime: p.time, DisableGlobbing: true,
	}
	if format == "deb" {
		info.Depends = []string{"systemd | systemd-standalone-sysusers"}
		info.Recommends = []string{"ipxe"}
		// Installing these writes to the machine's own EFI partition: the operator's choice.
		info.Suggests = []string{"shim-signed", "grub-efi-amd64-signed"}

	} else {
		info.Depends = []string{"systemd"}
		info.Recommends = []string{"ipxe-bootimgs-x86"}
		info.RPM.BuildHost, info.RPM.Compression = "diskcast", "gzip"
		info.RPM.Summary, _, _ = strings.Cut(description, "\n")
	}
	if err := p.fill(info, temp, programs); err != nil {
		return "", err
	}
	if err := nfpm.PrepareForPackager(info, format); err != nil {
		return "", err
	}
	return packager.ConventionalFileName(info), packager.Package(info, w)
}

// fill says which files are in the package; those that are made are put into the folder first.
func (p *build) fill(info *nfpm.Info, temp, programs string) error {
	put := func(source, to string, mode fs.FileMode, kind string) {
		info.Contents = append(info.Contents, &files.Content{Source: source, Destination: to, Type: kind,
			FileInfo: &files.ContentFileInfo{Owner: "root", Group: "root", Mode: mode, MTime: p.time}})
	}
	for _, name := range []string{"diskcast", "mkimage"} {
		put(filepath.Join(programs, name), "/usr/bin/"+name, 0o755, files.TypeFile)
	}
	made, err := documents(p.time)
	if err != nil {
		return err
	}
	for name, to := range map[string]string{"diskcast.service": "usr/lib/systemd/system/diskcast.service",
		"diskcast.sysusers": "usr/lib/sysusers.d/diskcast.conf"} {
		if made[to], err = embedded.ReadFile("files/" + name); err != nil {
			return err
		}
	}
	for _, to := range slices.Sorted(maps.Keys(made)) {
		at := filepath.Join(temp, "root", to)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(at, made[to], 0o644); err != nil {
			return err
		}
		kind := files.TypeFile
		if strings.HasPrefix(to, "etc/") {
			kind = files.TypeConfigNoReplace
		}
		put(at, "/"+to, 0o644, kind)
	}
	for name, into := range map[string]*string{"postinst": &info.Scripts.PostInstall, "prerm": &info.Scripts.PreRemove,
		"postrm": &info.Scripts.PostRemove} {
		text, err := embedded.ReadFile("files/" + name)
		if err != nil {
			return err
		}
		*into = filepath.Join(temp, name)
		if err := os.WriteFile(*into, text, 0o755); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
