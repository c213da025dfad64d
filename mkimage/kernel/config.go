package kernel

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/diskcast/diskcast/internal/ramfs"
)

// maxConfig bounds a kernel's configuration, in bytes. Debian's have 270 kB.
const maxConfig = 4 << 20

// packings are the quickest that a kernel unpacks archives by, and the one that makes them smallest, as the
// configuration beside it says (usr/Kconfig). Debian and SUSE name the file by the release, Alpine as the kernel's own,
// Fedora has it beside the modules. Without one both are gzip, which every kernel has.
func packings(root fs.FS, image, release string) (quick, small ramfs.Packing) {
	_, own, _ := strings.Cut(path.Base(image), "-")
	for _, name := range []string{"config-" + own, "config-" + release, "config"} {
		f, err := root.Open(path.Join(path.Dir(image), name))
		if err != nil {
			continue
		}
		text, err := io.ReadAll(io.LimitReader(f, maxConfig))
		f.Close()
		if err != nil {
			continue
		}
		if bytes.Contains(text, []byte("\nCONFIG_RD_ZSTD=y\n")) {
			quick, small = ramfs.Zstd, ramfs.Zstd
		}
		if bytes.Contains(text, []byte("\nCONFIG_RD_LZ4=y\n")) && padded(release) {
			quick = ramfs.LZ4
		}
		return quick, small
	}
	return ramfs.Gzip, ramfs.Gzip
}

// padded says that a kernel takes the zeros with which a boot loader fills an archive of lz4 up. Before Linux 5.14 it
// unpacks all and then says that the archive is broken (lib/decompress_unlz4.c).
func padded(release string) bool {
	var major, minor int
	n, err := fmt.Sscanf(release, "%d.%d", &major, &minor)
	return err == nil && n == 2 && (major > 5 || major == 5 && minor >= 14)
}
