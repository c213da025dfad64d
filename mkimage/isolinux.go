package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/mkimage/bootdir"
	"github.com/diskcast/diskcast/mkimage/secureboot"
	"github.com/diskcast/diskcast/mkimage/stick"
)

// Where Debian's packages isolinux and syslinux-common put the files.
const (
	isolinuxLoader = "/usr/lib/ISOLINUX/isolinux.bin"
	isolinuxMBR    = "/usr/lib/ISOLINUX/isohdpfx.bin"
	isolinuxModule = "/usr/lib/syslinux/modules/bios/ldlinux.c32"
)

// openBIOS reads the parts of ISOLINUX; nil, and why, where there are none and nobody named any.
func (m *media) openBIOS() (*stick.BIOS, string, error) {
	if slices.Equal(m.isolinux, []string{noLoaders}) {
		return nil, "", nil
	}
	b := &stick.BIOS{}
	for _, p := range []struct {
		into *[]byte
		file string
	}{{&b.Loader, isolinuxLoader}, {&b.MBR, isolinuxMBR}, {&b.Module, isolinuxModule}} {
		data, err := m.part(p.file)
		if len(m.isolinux) == 0 && errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Sprintf("stick and CD start UEFI machines only: %s is not installed; install the packages "+
				"isolinux and syslinux-common, or give them to --isolinux (or --isolinux %s)", p.file, noLoaders), nil
		}
		if err != nil {
			return nil, "", fmt.Errorf("--isolinux: %w", err)
		}
		*p.into = data
	}
	if err := b.Check(); err != nil {
		return nil, "", fmt.Errorf("--isolinux: %w", err)
	}
	return b, "", nil
}

// part finds a file of ISOLINUX in what --isolinux names, or where it is installed.
func (m *media) part(installed string) ([]byte, error) {
	if len(m.isolinux) == 0 {
		data, _, err := secureboot.Read("", installed, "isolinux")
		return data, err
	}
	var errs []error
	for _, name := range m.isolinux {
		st, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		if st.IsDir() {
			name = filepath.Join(name, path.Base(installed))
		} else if e := filepath.Ext(name); (e == ".bin" || e == ".c32") && filepath.Base(name) != path.Base(installed) {
			continue // another part
		}
		data, _, err := secureboot.Read(name, installed, "isolinux")
		if err == nil {
			return data, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", name, err))
	}
	return nil, fmt.Errorf("%s is in none of them: %w", path.Base(installed), errors.Join(errs...))
}

// isolinuxConfig has ISOLINUX start the kernel at once, and talk on the node's serial console too.
func isolinuxConfig(c *bootdir.Content) string {
	serial := ""
	if line, rest, ok := strings.Cut(strings.TrimPrefix(c.Site.Console, "ttyS"), ","); ok && line != c.Site.Console {
		speed := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
		serial = fmt.Sprintf("SERIAL %s %s\n", line, speed)
	}
	return serial + "DEFAULT diskcast\nPROMPT 0\nLABEL diskcast\n\tLINUX /vmlinuz\n\tINITRD /initrd.img\n\tAPPEND " +
		bootdir.Cmdline(c) + "\n"
}
