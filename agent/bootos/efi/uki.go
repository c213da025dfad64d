package efi

import (
	"errors"
	"fmt"
	"strings"
)

// Image is what a unified kernel image holds for its first profile, the one that is started when nobody chooses
// another.
type Image struct {
	Kernel    Range
	Initrds   []Range // in the order in which the kernel gets them: microcode first
	Args      string  // kernel command line
	OSRelease string  // os-release(5) as text
}

// maxText bounds, in bytes, the sections that are text.
const maxText = 64 << 10

// cannot says why an image with one of these sections must be started by its own stub.
var cannot = map[string]string{
	".dtb":     "it brings a device tree, which kexec cannot pass on",
	".dtbauto": "it brings device trees, which kexec cannot pass on",
	".efifw":   "it brings firmware, which only its own stub installs",
	".pcrsig": "it carries signatures of what its stub measures into the TPM, and what is sealed to them opens only " +
		"when the stub ran",
}

// Image takes a unified kernel image apart. Sections before the first .profile belong to every profile; those of a
// profile take the place of these (UAPI.5).
func (p *Program) Image() (*Image, error) {
	base, first, profiles := map[string]Range{}, map[string]Range{}, 0
	for _, s := range p.sections {
		if s.name == ".profile" {
			profiles++
		}
		into := base
		switch {
		case profiles == 1:
			into = first
		case profiles > 1:
			continue
		}
		if _, twice := into[s.name]; !twice {
			into[s.name] = s.Range
		}
	}
	for name, r := range first {
		base[name] = r
	}
	for _, name := range []string{".dtb", ".dtbauto", ".efifw", ".pcrsig"} {
		if _, ok := base[name]; ok {
			return nil, errors.New(cannot[name])
		}
	}
	im := &Image{Kernel: base[".linux"]}
	if im.Kernel.Size == 0 {
		return nil, errors.New("it has no kernel in it")
	}
	for _, name := range []string{".ucode", ".initrd"} {
		if r := base[name]; r.Size > 0 {
			im.Initrds = append(im.Initrds, r)
		}
	}
	args, err := p.text(base[".cmdline"], maxText)
	if err != nil {
		return nil, fmt.Errorf(".cmdline: %w", err)
	}
	im.Args = commandLine(args)
	im.OSRelease, err = p.text(base[".osrel"], maxText)
	if err != nil {
		return nil, fmt.Errorf(".osrel: %w", err)
	}
	return im, nil
}

// commandLine is what systemd's stub hands on of .cmdline: up to a NUL, without blanks around it, every control
// character a blank. Blanks inside stay as they are: a value in quotes may have two.
func commandLine(text string) string {
	text, _, _ = strings.Cut(text, "\x00")
	return strings.Trim(strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, text), " ")
}

// OSRelease reads the text of .osrel, by which a boot menu lists a unified kernel image; empty when it has none.
func (p *Program) OSRelease() string {
	for _, s := range p.sections {
		if s.name == ".osrel" {
			text, err := p.text(s.Range, maxText)
			if err != nil {
				return ""
			}
			return text
		}
	}
	return ""
}

// Profiles counts the profiles of a unified kernel image; one without the section .profile has 1.
func (p *Program) Profiles() int {
	n := 0
	for _, s := range p.sections {
		if s.name == ".profile" {
			n++
		}
	}
	return max(n, 1)
}
