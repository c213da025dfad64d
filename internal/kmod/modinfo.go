package kmod

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"strings"
)

// maxModinfo bounds the section that is read, in bytes. The largest of Debian's 6.1 kernel has 30 KB of aliases.
const maxModinfo = 4 << 20

// ReadInfo reads the section .modinfo of a module, which is an ELF file and not compressed. The section is a row of
// NAME=VALUE strings, each ended by a zero byte (include/linux/moduleparam.h, __MODULE_INFO).
func ReadInfo(r io.ReaderAt) (Info, error) {
	f, err := elf.NewFile(r)
	if err != nil {
		return Info{}, fmt.Errorf("not an ELF file: %w", err)
	}
	defer f.Close()
	s := f.Section(".modinfo")
	if s == nil {
		return Info{}, fmt.Errorf("no section .modinfo: not a kernel module")
	}
	if s.Size > maxModinfo {
		return Info{}, fmt.Errorf("section .modinfo of %d bytes, more than %d", s.Size, maxModinfo)
	}
	data, err := s.Data()
	if err != nil {
		return Info{}, fmt.Errorf("section .modinfo: %w", err)
	}
	return parseInfo(data), nil
}

func parseInfo(data []byte) Info {
	var m Info
	for _, field := range bytes.Split(data, []byte{0}) {
		key, value, ok := strings.Cut(string(field), "=")
		if !ok || value == "" || strings.ContainsAny(value, "\n\r") {
			continue
		}
		switch key {
		case "name":
			m.Name = Name(value)
		case "depends":
			for _, d := range strings.Split(value, ",") {
				if d != "" {
					m.Depends = append(m.Depends, Name(d))
				}
			}
		case "alias":
			// A space would end the pattern in modules.alias.
			if !strings.ContainsAny(value, " \t") {
				m.Aliases = append(m.Aliases, value)
			}
		case "firmware":
			m.Firmware = append(m.Firmware, value)
		case "softdep":
			m.addSoft(value)
		case "vermagic":
			// "6.1.0-56-amd64 SMP preempt mod_unload modversions"
			m.Release, _, _ = strings.Cut(value, " ")
		}
	}
	return m
}

// addSoft adds the soft dependencies of one line: "pre: a b post: c".
func (m *Info) addSoft(value string) {
	var list *[]string
	for _, word := range strings.Fields(value) {
		switch word {
		case "pre:":
			list = &m.SoftPre
		case "post:":
			list = &m.SoftPost
		default:
			if list != nil {
				*list = append(*list, Name(word))
			}
		}
	}
}
