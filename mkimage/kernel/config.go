package kernel

import (
	"bytes"
	"io"
	"io/fs"
	"path"
	"strings"
)

// maxConfig bounds a kernel's configuration, in bytes. Debian's have 270 kB.
const maxConfig = 4 << 20

// hasZstd reports whether the configuration beside a kernel says that it unpacks archives that are compressed with
// zstd, as Linux 5.9 and later can (usr/Kconfig). Debian and SUSE name the file by the release, Alpine as the kernel's
// own, Fedora has it beside the modules. Without one the answer is no: gzip is what every kernel has.
func hasZstd(root fs.FS, image, release string) bool {
	_, own, _ := strings.Cut(path.Base(image), "-")
	for _, name := range []string{"config-" + own, "config-" + release, "config"} {
		f, err := root.Open(path.Join(path.Dir(image), name))
		if err != nil {
			continue
		}
		text, err := io.ReadAll(io.LimitReader(f, maxConfig))
		f.Close()
		if err == nil {
			return bytes.Contains(text, []byte("\nCONFIG_RD_ZSTD=y\n"))
		}
	}
	return false
}
