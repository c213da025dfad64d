package secureboot

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/diskcast/diskcast/internal/bootdir"
)

// SignedIPXE is an iPXE that its makers signed, behind the shim that trusts them.
type SignedIPXE struct {
	// Files are the pairs, by the names that they have in the folder: snponly-shim.efi starts snponly.efi beside
	// itself, ipxe-shim.efi starts ipxe.efi.
	Files map[string][]byte
}

// ipxeShim is what the shim of an iPXE is called: iPXE's shim takes "-shim" off its own name to find what it starts.
const ipxeShim = "-shim.efi"

// OpenIPXE reads the pairs for an architecture from a folder, as they are in iPXE's releases (x86_64-sb, arm64-sb).
func OpenIPXE(arch bootdir.Arch, dir string) (*SignedIPXE, error) {
	s := &SignedIPXE{Files: map[string][]byte{}}
	for _, base := range []string{"snponly", "ipxe"} {
		pair := map[string][]byte{}
		var missing []string
		for _, name := range []string{base + ipxeShim, base + ".efi"} {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if errors.Is(err, fs.ErrNotExist) {
				missing = append(missing, name)
				continue
			}
			if err == nil && len(data) > maxLoader {
				err = fmt.Errorf("more than %d bytes", maxLoader)
			}
			if err == nil {
				err = signed(data, arch)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", filepath.Join(dir, name), err)
			}
			pair[name] = data
		}
		switch {
		case len(pair) == 0:
			continue
		case len(pair) == 1 && strings.HasSuffix(missing[0], ipxeShim):
			continue // an iPXE that nobody starts by shim
		case len(pair) == 1:
			return nil, fmt.Errorf("%s has %s, and not the %s that it starts", dir, base+ipxeShim, missing[0])
		case !KnowsShim(pair[base+".efi"]):
			return nil, fmt.Errorf("%s: this iPXE has no command shim, without which Secure Boot refuses the kernel: "+
				"take "+
				"that of iPXE's release 2.0 or later", filepath.Join(dir, base+".efi"))
		}
		for name, data := range pair {
			s.Files[name] = data
		}
	}
	if len(s.Files) == 0 {
		return nil, fmt.Errorf("%s holds neither snponly-shim.efi with snponly.efi nor ipxe-shim.efi with ipxe.efi: "+
			"name "+
			"the folder of signed binaries of iPXE's release (x86_64-sb)", dir)
	}
	return s, nil
}

// KnowsShim reports whether an iPXE has the command by which it hands a kernel to a distribution's shim: names of
// commands are strings in the program.
func KnowsShim(ipxe []byte) bool { return bytes.Contains(ipxe, []byte("\x00shim\x00")) }
