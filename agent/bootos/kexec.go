package bootos

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/agent/bootos/efi"
	"github.com/diskcast/diskcast/agent/bootos/grub"
)

// load gives kernel, initrds and command line to the kernel with kexec_file_load, which copies them: afterwards the
// disk may be unmounted. It is the only kind of kexec that a locked-down kernel allows, and then only for a signed
// kernel.
func load(v *Volumes, s *System, args string) error {
	kernel, initrd, err := open(v, s)
	if err != nil {
		return err
	}
	defer kernel.Close()
	flags, initrdFD := unix.KEXEC_FILE_NO_INITRAMFS, 0
	if initrd != nil {
		defer initrd.Close()
		flags, initrdFD = 0, int(initrd.Fd())
	}
	if err := unix.KexecFileLoad(int(kernel.Fd()), initrdFD, args, flags); err != nil {
		return loadError(s, err)
	}
	return nil
}

// open returns a system's kernel and its initrds as one; nil when it has none.
func open(v *Volumes, s *System) (kernel, initrd *os.File, err error) {
	if s.Unified {
		return openUnified(v, s.Kernel)
	}
	kpath, err := v.Path(s.Kernel)
	if err != nil {
		return nil, nil, err
	}
	if kernel, err = os.Open(kpath); err != nil || len(s.Initrds) == 0 {
		return kernel, nil, err
	}
	if initrd, err = openInitrds(v, s.Initrds); err != nil {
		kernel.Close()
		return nil, nil, err
	}
	return kernel, initrd, nil
}

// openUnified copies kernel and initrds out of a unified kernel image.
func openUnified(v *Volumes, file grub.File) (kernel, initrd *os.File, err error) {
	prog, r, err := v.program(file)
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	im, err := prog.Image()
	if err != nil {
		return nil, nil, err
	}
	part := func(r2 efi.Range) io.Reader { return io.NewSectionReader(r, r2.Offset, r2.Size) }
	if kernel, err = memoryFile("kernel", part(im.Kernel)); err != nil || len(im.Initrds) == 0 {
		return kernel, nil, err
	}
	var parts []io.Reader
	for _, i := range im.Initrds {
		parts = append(parts, part(i))
	}
	if initrd, err = memoryFile("initrds", parts...); err != nil {
		kernel.Close()
		return nil, nil, err
	}
	return kernel, initrd, nil
}

// maxInitrds bounds, in bytes, what is put together in memory.
const maxInitrds = 1 << 30

// openInitrds opens the only initrd, or puts several together: the kernel reads archives one after another, each
// beginning at a multiple of four bytes (Documentation/driver-api/early-userspace/buffer-format.rst).
func openInitrds(v *Volumes, files []grub.File) (*os.File, error) {
	if len(files) == 1 {
		p, err := v.Path(files[0])
		if err != nil {
			return nil, err
		}
		return os.Open(p)
	}
	var parts []io.Reader
	for _, f := range files {
		p, err := v.Path(f)
		if err != nil {
			return nil, fmt.Errorf("initrd %v: %w", f, err)
		}
		r, err := os.Open(p)
		if err != nil {
			return nil, fmt.Errorf("initrd %v: %w", f, err)
		}
		defer r.Close()
		parts = append(parts, r)
	}
	return memoryFile("initrds", parts...)
}

// memoryFile puts parts together in memory, each at a multiple of four bytes.
func memoryFile(name string, parts ...io.Reader) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memory for the %s: %w", name, err)
	}
	all := os.NewFile(uintptr(fd), name)
	left := int64(maxInitrds)
	for _, r := range parts {
		n, err := io.Copy(all, io.LimitReader(r, left+1))
		if err == nil && n > left {
			err = fmt.Errorf("it has more than %d bytes", int64(maxInitrds))
		}
		if err == nil && len(parts) > 1 {
			_, err = all.Write(make([]byte, -n&3))
		}
		if err != nil {
			all.Close()
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		left -= n
	}
	return all, nil
}

// loadError says what an errno of kexec_file_load means and what can be done.
func loadError(s *System, err error) error {
	why := ""
	switch {
	case errors.Is(err, unix.EPERM):
		why = "the kernel forbids it: it is locked down, or kexec_load_disabled is set"
	case errors.Is(err, unix.ENOKEY), errors.Is(err, unix.EKEYREJECTED), errors.Is(err, unix.EKEYEXPIRED),
		errors.Is(err, unix.EBADMSG), errors.Is(err, unix.ENOPKG):
		why = "Secure Boot is on and the restored kernel carries no signature that the running kernel trusts"
	case errors.Is(err, unix.ENOEXEC):
		why = "it is not a kernel image for this machine"
	case errors.Is(err, unix.ENOMEM), errors.Is(err, unix.EADDRNOTAVAIL):
		why = "the node has too little memory to hold it beside the running one"
	case errors.Is(err, unix.ENOSYS):
		why = "the running kernel was built without CONFIG_KEXEC_FILE"
	case errors.Is(err, unix.EINVAL):
		why = "the kernel does not accept it: the command line may be too long"
	}
	if why == "" {
		return fmt.Errorf("loading %s: %w", s.Kernel.Path, err)
	}
	return fmt.Errorf("loading %s: %s (%w)", s.Kernel.Path, why, err)
}

// commandLine puts the descriptor's words behind the system's own. A word that is there already is not repeated.
func commandLine(args, appendix string) string {
	have := map[string]bool{}
	for _, w := range strings.Fields(args) {
		have[w] = true
	}
	for _, w := range strings.Fields(appendix) {
		if !have[w] {
			args = strings.TrimSpace(args + " " + w)
		}
	}
	return args
}
