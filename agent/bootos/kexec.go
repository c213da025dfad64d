package bootos

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/agent/bootos/grub"
)

// load gives kernel, initrds and command line to the kernel with kexec_file_load, which copies them: afterwards the
// disk may be unmounted. It is the only kind of kexec that a locked-down kernel allows, and then only for a signed kernel.
func load(v *Volumes, s *System, args string) error {
	kpath, err := v.Path(s.Kernel)
	if err != nil {
		return err
	}
	kernel, err := os.Open(kpath)
	if err != nil {
		return err
	}
	defer kernel.Close()
	flags, initrdFD := unix.KEXEC_FILE_NO_INITRAMFS, 0
	if len(s.Initrds) > 0 {
		initrd, err := openInitrds(v, s.Initrds)
		if err != nil {
			return err
		}
		defer initrd.Close()
		flags, initrdFD = 0, int(initrd.Fd())
	}
	if err := unix.KexecFileLoad(int(kernel.Fd()), initrdFD, args, flags); err != nil {
		return loadError(s, err)
	}
	return nil
}

// maxInitrds bounds, in bytes, initrds that are put together in memory.
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
	fd, err := unix.MemfdCreate("initrds", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memory for the initrds: %w", err)
	}
	all := os.NewFile(uintptr(fd), "initrds")
	total := int64(0)
	for _, f := range files {
		n, err := appendInitrd(all, v, f, maxInitrds-total)
		if err != nil {
			all.Close()
			return nil, fmt.Errorf("initrd %v: %w", f, err)
		}
		total += n
	}
	return all, nil
}

func appendInitrd(w io.Writer, v *Volumes, f grub.File, max int64) (int64, error) {
	p, err := v.Path(f)
	if err != nil {
		return 0, err
	}
	r, err := os.Open(p)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	n, err := io.Copy(w, io.LimitReader(r, max+1))
	if err != nil {
		return n, err
	}
	if n > max {
		return n, errors.New("the initrds are too large")
	}
	pad := -n & 3
	_, err = w.Write(make([]byte, pad))
	return n + pad, err
}

// loadError says what an errno of kexec_file_load means and what can be done.
func loadError(s *System, err error) error {
	why := ""
	switch {
	case errors.Is(err, unix.EPERM):
		why = "the kernel forbids it: it is locked down, or kexec_load_disabled is set"
	case errors.Is(err, unix.ENOKEY), errors.Is(err, unix.EKEYREJECTED), errors.Is(err, unix.EKEYEXPIRED), errors.Is(err, unix.EBADMSG), errors.Is(err, unix.ENOPKG):
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
