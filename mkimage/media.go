package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	contract "github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/mkimage/bootdir"
	"github.com/diskcast/diskcast/mkimage/secureboot"
	"github.com/diskcast/diskcast/mkimage/stick"
	"github.com/diskcast/diskcast/mkimage/uki"
)

// media are what is made of kernel and archive beside the boot directory, or in its place.
type media struct {
	uki, usb, iso    string // files to write; empty: not wanted
	stub, sign, cert string // where they come from
	isolinux         []string
	boot             bool // the boot directory has a unified kernel image too
}

func (m *media) flags(f *pflag.FlagSet) {
	f.StringVar(&m.uki, "uki", "",
		"file for a unified kernel image: kernel, archive and command line in one UEFI program")
	f.BoolVar(&m.boot, "boot-uki", false,
		"put a unified kernel image into the boot directory, for diskcast serve --uefi-loader uki")
	f.StringVar(&m.usb, "usb", "",
		"file for the image of a USB stick that machines start from without a network boot")
	f.StringVar(&m.iso, "iso", "",
		"file for the image of a CD, or a BMC's virtual one; sticks take it too")
	f.StringSliceVar(&m.isolinux, "isolinux", nil,
		"for sticks and CDs that BIOS starts: the packages isolinux and syslinux-common, or a folder with their files "+
			"(default: the installed ones); none leaves BIOS out")
	f.StringVar(&m.stub, "stub", "",
		"systemd's linuxx64.efi.stub or linuxaa64.efi.stub, or the package systemd-boot-efi (default: the installed "+
			"one)")
	f.StringVar(&m.sign, "sign", "", "the site's private key (RSA, PEM), which signs the unified kernel image")
	f.StringVar(&m.cert, "cert", "", "the certificate of --sign (PEM or DER), as the machines' firmware has it in db")
}

// output is one file.
type output struct{ flag, name string }

// outputs are the files that are wanted.
func (m *media) outputs() []output {
	var list []output
	for _, o := range []output{{"--uki", m.uki}, {"--usb", m.usb}, {"--iso", m.iso}} {
		if o.name != "" {
			list = append(list, o)
		}
	}
	return list
}

// check is what can be said of the flags alone; out is the boot directory.
func (m *media) check(out string) error {
	list := m.outputs()
	if m.boot && out == "" {
		return errors.New("--boot-uki is for the boot directory: give --out too")
	}
	for _, x := range []struct{ flag, value string }{{"--stub", m.stub}, {"--sign", m.sign}, {"--cert", m.cert}} {
		if x.value != "" && len(list) == 0 && !m.boot {
			return fmt.Errorf("%s is for a unified kernel image: give --uki, --usb, --iso or --boot-uki too", x.flag)
		}
	}
	if (m.sign == "") != (m.cert == "") {
		return errors.New("--sign and --cert go together: the private key, and the certificate that firmware knows " +
			"it by")
	}
	if len(m.isolinux) > 0 && m.usb == "" && m.iso == "" {
		return errors.New("--isolinux is for sticks and CDs: give --usb or --iso too")
	}
	seen := map[string]string{}
	for _, o := range list {
		name, err := filepath.Abs(o.name)
		if err != nil {
			return err
		}
		if other, ok := seen[name]; ok {
			return fmt.Errorf("%s and %s are one file, %s", other, o.flag, o.name)
		}
		seen[name] = o.flag
		if out == "" {
			continue
		}
		dir, err := filepath.Abs(out)
		if err != nil {
			return err
		}
		if name == dir || strings.HasPrefix(name, dir+string(filepath.Separator)) {
			return fmt.Errorf("%s %s lies in the boot directory, which is replaced as a whole: name a file "+
				"elsewhere", o.flag, o.name)
		}
	}
	return nil
}

// checkFiles tells at once whether the files could be written.
func (m *media) checkFiles() error {
	for _, o := range m.outputs() {
		st, err := os.Stat(o.name)
		if err == nil && !st.Mode().IsRegular() {
			return fmt.Errorf("%s %s is not a file: a device is written by dd, from the file that is made here",
				o.flag, o.name)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w", o.flag, err)
		}
		dir := filepath.Dir(o.name)
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s %s cannot be made: there is no folder %s: make it, or name a file elsewhere", o.flag,
				o.name, dir)
		}
		temp, err := os.CreateTemp(dir, ".mkimage-")
		if why, ok := errors.AsType[*fs.PathError](err); ok {
			err = why.Err // the temporary file's name is nothing to anybody
		}
		if err != nil {
			return fmt.Errorf("%s %s cannot be made: writing to %s: %w", o.flag, o.name, dir, err)
		}
		if err := errors.Join(temp.Close(), os.Remove(temp.Name())); err != nil {
			return err
		}
	}
	return nil
}

// checkArch takes the stub for the architecture, and refuses what is not for it.
func (t *tools) checkArch(m *media, arch contract.Arch) error {
	if t == nil {
		return nil
	}
	if t.arch = arch; t.stubs[arch] == nil {
		if m.stub != "" {
			return fmt.Errorf("--stub %s has none for machines of %s, which the kernel is for: give linux%s.efi.stub, "+
				"or %[2]s's package systemd-boot-efi", m.stub, arch, arch.EFI())
		}
		return fmt.Errorf("the stub for machines of %s, which the kernel is for: %w: give %[1]s's package "+
			"systemd-boot-efi to --stub", arch, t.missed[arch])
	}
	if arch == contract.AMD64 {
		return nil
	}
	if len(m.isolinux) > 0 && !slices.Equal(m.isolinux, []string{noLoaders}) {
		return fmt.Errorf("--isolinux is for BIOS, which machines of %s, which the kernel is for, do not have: leave "+
			"it out", arch)
	}
	t.bios, t.note = nil, ""
	return nil
}

// installedStub is where Debian's and Fedora's packages put it.
func installedStub(arch contract.Arch) string {
	return "/usr/lib/systemd/boot/efi/linux" + arch.EFI() + ".efi.stub"
}

// tools are what media are made with.
type tools struct {
	stubs  map[contract.Arch][]byte
	missed map[contract.Arch]error // why there is none
	arch   contract.Arch
	signer *uki.Signer // nil: nothing is signed
	bios   *stick.BIOS // without kernel and archive; nil: for UEFI alone
	made   []byte      // the unified kernel image; nil: not yet
	note   string      // why it is for UEFI alone, when nobody asked for that
}

// readStubs reads the stubs that there are, each under the architecture that it is for.
func (m *media) readStubs() (*tools, error) {
	t := &tools{stubs: map[contract.Arch][]byte{}, missed: map[contract.Arch]error{}}
	for _, arch := range []contract.Arch{contract.AMD64, contract.ARM64} {
		data, _, err := secureboot.Read(m.stub, installedStub(arch), "stub")
		is := arch
		if err == nil {
			is, err = uki.CheckStub(data)
		}
		if err == nil {
			t.stubs[is] = data
		} else {
			t.missed[arch] = err
		}
	}
	switch amd64, arm64 := t.missed[contract.AMD64], t.missed[contract.ARM64]; {
	case len(t.stubs) > 0:
		return t, nil
	case m.stub != "" && amd64.Error() != arm64.Error(): // a package, of which each misses its own file or refuses it
		return nil, fmt.Errorf("--stub %s: %w; %w", m.stub, amd64, arm64)
	case m.stub != "" || !errors.Is(amd64, fs.ErrNotExist):
		return nil, fmt.Errorf("--stub: %w", amd64)
	default:
		return nil, fmt.Errorf("%s is not installed: install the package systemd-boot-efi, or give the package to "+
			"--stub", installedStub(contract.AMD64))
	}
}

// open reads stub, key and certificate before the work.
func (m *media) open() (*tools, error) {
	if len(m.outputs()) == 0 && !m.boot {
		return nil, nil
	}
	t, err := m.readStubs()
	if err != nil {
		return nil, err
	}
	if m.usb != "" || m.iso != "" {
		if t.bios, t.note, err = m.openBIOS(); err != nil {
			return nil, err
		}
	}
	if m.sign == "" {
		return t, nil
	}
	key, err := os.ReadFile(m.sign)
	if err != nil {
		return nil, fmt.Errorf("--sign: %w", err)
	}
	cert, err := os.ReadFile(m.cert)
	if err != nil {
		return nil, fmt.Errorf("--cert: %w", err)
	}
	if t.signer, err = uki.NewSigner(key, cert); err != nil {
		return nil, fmt.Errorf("--sign %s, --cert %s: %w", m.sign, m.cert, err)
	}
	return t, nil
}

// medium is a file that was made.
type medium struct {
	Kind   string `json:"kind"` // uki, usb or iso
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// releaseID begins the os-release of a unified kernel image, by which the next mkimage knows one of its own.
const releaseID = "ID=diskcast\n"

// program is the unified kernel image, signed where that is wanted.
func (t *tools) program(c *bootdir.Content, archive []byte) ([]byte, error) {
	if t.made != nil {
		return t.made, nil
	}
	// A stub takes the words as they are; what each node adds is told by nobody here, so that a node asks on all its
	// NICs.
	program, err := uki.Make(uki.Parts{Arch: t.arch, Stub: t.stubs[t.arch], Linux: c.Kernel, Initrd: archive,
		Release: c.Release, Cmdline: bootdir.Cmdline(c), OSRelease: releaseID + fmt.Sprintf(
			"NAME=diskcast\nPRETTY_NAME=\"diskcast node, Linux %s\"\n", c.Release)})
	if err == nil && t.signer != nil {
		program, err = t.signer.Sign(program)
	}
	t.made = program
	return program, err
}

// make makes the files of a boot directory's kernel and archive.
func (m *media) make(t *tools, c *bootdir.Content, archive []byte) ([]medium, error) {
	if t == nil {
		return nil, nil
	}
	if len(m.outputs()) == 0 {
		return nil, nil
	}
	program, err := t.program(c, archive)
	if err != nil {
		return nil, err
	}
	bios := t.bios
	if bios != nil {
		bios.Linux, bios.Initrd, bios.Config = c.Kernel, archive, isolinuxConfig(c)
	}
	var made []medium
	for _, x := range []struct {
		kind, name string
		make       func(*stick.Program, *stick.BIOS, time.Time) ([]byte, error)
	}{
		{"uki", m.uki, func(p *stick.Program, _ *stick.BIOS, _ time.Time) ([]byte, error) { return p.Data, nil }},
		{"usb", m.usb, stick.Disk}, {"iso", m.iso, stick.ISO},
	} {
		if x.name == "" {
			continue
		}
		data, err := x.make(&stick.Program{Arch: t.arch, Data: program}, bios, c.ModTime)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", x.kind, err)
		}
		if err := bootdir.WriteFile(x.name, data); err != nil {
			return nil, fmt.Errorf("--%s: %w", x.kind, err)
		}
		sum := sha256.Sum256(data)
		made = append(made, medium{x.kind, x.name, int64(len(data)), hex.EncodeToString(sum[:])})
	}
	return made, nil
}
