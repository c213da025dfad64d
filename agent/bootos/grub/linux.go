package grub

import (
	"errors"
	"fmt"
	"strings"
)

// linux notes the kernel and its command line. GRUB puts BOOT_IMAGE, with the kernel's name as it was given, in front;
// kdump and others read it.
func linux(s *shell, args []string) (int, error) {
	if len(args) == 0 {
		return badArgument, nil
	}
	if s.get("check_signatures") == "enforce" {
		return statusFalse, &Restart{Why: "GRUB checks signatures of kernels (check_signatures=enforce)"}
	}
	f, err := s.bootFile(args[0])
	if err != nil && !errors.Is(err, errRefused) {
		return notFound, err
	}
	if err != nil || !s.files.Exists(f.Device, f.Path, false) {
		s.failed = s.notThere(f)
		if err != nil {
			s.failed = err.Error()
		}
		if s.loaded != nil {
			return notFound, &Restart{Why: s.failed}
		}
		return notFound, nil
	}
	words := []string{"BOOT_IMAGE=" + kernelWord(args[0])}
	for _, a := range args[1:] {
		words = append(words, kernelWord(a))
	}
	s.loaded = &Entry{Kernel: f, Args: strings.Join(words, " ")}
	return ok, nil
}

// notThere says why a kernel or initrd is none that GRUB can read.
func (s *shell) notThere(f File) string {
	if s.files.TooLinked(f.Device, f.Path) {
		return fmt.Sprintf("%v leads through more symbolic links than GRUB follows", f)
	}
	return fmt.Sprintf("%v is not there", f)
}

// bootFile finds a kernel or initrd; it must be on a partition that can be read, for sure.
func (s *shell) bootFile(name string) (File, error) {
	if why := s.doubt(name); why != "" {
		return File{}, &Restart{Why: why}
	}
	f, err := s.locate(name)
	if err != nil {
		return File{}, &Restart{Why: fmt.Sprintf("it loads %v", err), Err: err}
	}
	if isBlockList(f.Path) {
		return File{}, &Restart{Why: fmt.Sprintf("it loads blocks of a disk (%s)", name)}
	}
	return f, nil
}

// kernelWord writes a word as GRUB hands it to the kernel: quotes and backslashes get a backslash in front, and a word
// with a blank is put into quotes. \xHH stays: systemd writes names so, and Red Hat's GRUB, and upstream's since 2.04,
// pass it as it is.
func kernelWord(a string) string {
	var b strings.Builder
	blank := strings.Contains(a, " ")
	if blank {
		b.WriteByte('"')
	}
	for i := 0; i < len(a); i++ {
		if strings.IndexByte(`\'"`, a[i]) >= 0 && !isHexEscape(a[i:]) {
			b.WriteByte('\\')
		}
		b.WriteByte(a[i])
	}
	if blank {
		b.WriteByte('"')
	}
	return b.String()
}

func isHexEscape(s string) bool {
	hex := func(c byte) bool { return strings.IndexByte("0123456789abcdefABCDEF", c) >= 0 }
	return len(s) >= 4 && s[0] == '\\' && s[1] == 'x' && hex(s[2]) && hex(s[3])
}

// initrd notes the files of the initial ramdisk. GRUB would start the kernel without them when one is missing, and that
// kernel finds no root; what then happens is the machine's own to show.
func initrd(s *shell, args []string) (int, error) {
	if len(args) == 0 || s.loaded == nil {
		return badArgument, nil
	}
	s.loaded.Initrds = nil
	for _, a := range args {
		if strings.HasPrefix(a, "newc:") {
			return statusFalse, &Restart{Why: fmt.Sprintf("it packs a file into the initrd (%s)", a)}
		}
		f, err := s.bootFile(a)
		if err != nil {
			return notFound, err
		}
		if !s.files.Exists(f.Device, f.Path, false) {
			return notFound, &Restart{Why: s.notThere(f)}
		}
		s.loaded.Initrds = append(s.loaded.Initrds, f)
	}
	return ok, nil
}

func boot(s *shell, _ []string) (int, error) {
	if s.loaded == nil {
		return badArgument, nil
	}
	return ok, errBoot
}
