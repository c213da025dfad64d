package boot

import (
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/diskcast/diskcast/internal/bootdir"
)

// said is the architecture that a directory's manifest says, read again when that is another file than before: DHCP
// asks at each machine's request.
type said struct {
	mu   sync.Mutex
	of   fs.FileInfo
	arch bootdir.Arch // empty where the manifest cannot be read, which Check says
}

// Misplaced says why the boot directory of an architecture is none for its machines; empty where it is, or where there
// is none.
func (d *Dir) Misplaced(arch bootdir.Arch) string { return d.Of(arch).misplaced() }

func (d *Dir) misplaced() string {
	d.said.mu.Lock()
	defer d.said.mu.Unlock()
	f, info, err := d.Open(bootdir.ManifestFile)
	if err != nil {
		d.said.of = nil
		return ""
	}
	defer f.Close()
	if was := d.said.of; was == nil || !os.SameFile(was, info) || was.Size() != info.Size() ||
		!was.ModTime().Equal(info.ModTime()) {
		d.said.of, d.said.arch = info, ""
		if m, err := bootdir.ReadManifest(f); err == nil {
			d.said.arch = m.Arch.OrDefault()
		}
	}
	if d.said.arch == "" || d.said.arch == d.arch {
		return ""
	}
	return d.misplacedWords(d.said.arch)
}

// misplacedWords say that the directory was made for machines of another architecture than those that it is given to.
func (d *Dir) misplacedWords(is bootdir.Arch) string {
	return fmt.Sprintf("the boot directory %s was made from a kernel for %s, and by its name it is for machines of "+
		"%s: lay it out anew with mkimage from a kernel for %[3]s", d.path, is, d.arch)
}
