package osimage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/diskcast/diskcast/internal/sparse"
	"github.com/diskcast/diskcast/internal/testenv/proc"
	"github.com/diskcast/diskcast/qemu-tests/oracle"
)

// growable are the file systems of Growable, with the smallest size that their mkfs takes, or a little more.
var growable = map[string]struct {
	size int64
	uuid string
	make func(ctx context.Context, log io.Writer, part, uuid, root string) error
}{
	"ext4": {64 * mib, "5a11d15c-0004-4000-8000-0000000000e4",
		func(ctx context.Context, log io.Writer, part, uuid, root string) error {
			return proc.Run(ctx, log, "mkfs.ext4", "-q", "-F", "-L", "root", "-U", uuid, "-d", root, "-E",
				"lazy_itable_init=0,nodiscard", part)
		}},
	"xfs": {304 * mib, "5a11d15c-0004-4000-8000-0000000000f5",
		func(ctx context.Context, log io.Writer, part, uuid, root string) error {
			proto := part + ".proto"
			defer os.Remove(proto)
			if err := prototype(root, proto); err != nil {
				return err
			}
			return proc.Run(ctx, log, "mkfs.xfs", "-q", "-f", "-K", "-L", "root", "-m", "uuid="+uuid, "-p", proto, part)
		}},
	"btrfs": {128 * mib, "5a11d15c-0004-4000-8000-0000000000b7",
		func(ctx context.Context, log io.Writer, part, uuid, root string) error {
			return proc.Run(ctx, log, "mkfs.btrfs", "-q", "-f", "-K", "-L", "root", "-U", uuid, "--rootdir", root, part)
		}},
}

// Growable returns a disk with swap and, in its last partition, a small root of the file system kind (ext4, xfs or
// btrfs) with some 6 MiB of files: the root grows on a disk that is larger.
func Growable(ctx context.Context, cache, kind string, log logWriter) (*Image, error) {
	g, ok := growable[kind]
	if !ok {
		return nil, fmt.Errorf("no growable disk with %q is made here", kind)
	}
	const swap = 8 * mib
	id := g.uuid[len(g.uuid)-4:]
	script := fmt.Sprintf("label: gpt\nlabel-id: 5A11D15C-0000-4000-8000-00000000%[1]s\nunit: sectors\nsector-size: "+
		"512\n\n"+
		"start=%[2]d, size=%[3]d, type=0657FD6D-A4AB-43C4-84E5-0933C84B4F4F, "+
		"uuid=5A11D15C-0003-4000-8000-00000000%[1]s, name=\"swap\"\n"+
		"start=%[4]d, size=%[5]d, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, "+
		"uuid=5A11D15C-0002-4000-8000-00000000%[1]s, name=\"root\"\n",
		id, mib/512, swap/512, (mib+swap)/512, g.size/512)
	return cached(ctx, cache, "growable-"+kind+"-"+key("1", script),
		func(ctx context.Context, dir string) (meta, error) {
			root, disk, part := filepath.Join(dir, "root"), filepath.Join(dir, "disk.raw"), filepath.Join(dir, "part")
			if err := plantLittle(root); err != nil {
				return meta{}, err
			}
			tree, err := oracle.ReadTree(root)
			if err != nil {
				return meta{}, err
			}
			if err := errors.Join(tree.Save(filepath.Join(dir, "root.json")),
				oracle.Tree{}.Save(filepath.Join(dir, "esp.json"))); err != nil {
				return meta{}, err
			}
			if err := sparse.Create(disk, mib+swap+g.size+mib); err != nil {
				return meta{}, err
			}
			if err := proc.Input(ctx, log, strings.NewReader(script), "sfdisk", "--quiet", disk); err != nil {
				return meta{}, err
			}
			if err := sparse.Create(part, swap); err != nil {
				return meta{}, err
			}
			if err := proc.Run(ctx, log, "mkswap", "-q", "-L", "swap", part); err != nil {
				return meta{}, err
			}
			if err := sparse.Insert(ctx, part, disk, mib); err != nil {
				return meta{}, err
			}
			if err := errors.Join(os.Remove(part), sparse.Create(part, g.size)); err != nil {
				return meta{}, err
			}
			if err := g.make(ctx, log, part, g.uuid, root); err != nil {
				return meta{}, err
			}
			if err := sparse.Insert(ctx, part, disk, mib+swap); err != nil {
				return meta{}, err
			}
			return meta{RootUUID: g.uuid, FS: kind}, errors.Join(os.Remove(part), os.RemoveAll(root))
		})
}

// plantLittle grows a tree with less in it than plant's: the file system's own tools carry it into the file system, and
// an emulated node out of it.
func plantLittle(root string) error {
	src := rand.NewChaCha8([32]byte{'g', 'r', 'o', 'w'})
	rng := rand.New(src)
	g := &gardener{src: src, at: time.Date(2024, 5, 17, 12, 0, 0, 0, time.UTC)}
	for i := range 5 {
		g.random(filepath.Join(root, "big", fmt.Sprintf("random-%d", i)), 1<<20+i*1000)
	}
	for i := range 150 {
		g.random(filepath.Join(root, "tiny", fmt.Sprintf("%02d", i%7), fmt.Sprintf("file-%d", i)), rng.IntN(9000))
	}
	g.repeat(filepath.Join(root, "text", "marker.txt"), Marker+"\n", 1<<20)
	g.random(filepath.Join(root, strings.Repeat("long-name-", 25)), 1)
	g.random(filepath.Join(root, "empty"), 0)
	g.sparse(filepath.Join(root, "sparse"), 4<<20, 3)
	g.link(filepath.Join(root, "link"), "text/marker.txt")
	if g.err != nil {
		return g.err
	}
	return errors.Join(os.Chmod(filepath.Join(root, "tiny"), 0o750),
		os.Chmod(filepath.Join(root, "text", "marker.txt"), 0o600),
		os.Lchown(filepath.Join(root, "big"), 1000, 100), os.Lchown(filepath.Join(root, "big", "random-3"), 1000, 100))
}

// prototype describes a tree for mkfs.xfs -p: after two lines that say nothing today, each entry with its name, type,
// mode and owner, and the end of each directory as $ (mkfs.xfs(8), "-p protofile").
func prototype(root, path string) error {
	var b strings.Builder
	b.WriteString("-\n0 0\n")
	if err := describe(&b, root, "", "d"); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(b.String()), 0o600)
}

func describe(b *strings.Builder, path, name, kind string) error {
	var st syscall.Stat_t
	if err := syscall.Lstat(path, &st); err != nil {
		return err
	}
	fmt.Fprintf(b, "%s %s--%03o %d %d", name, kind, st.Mode&0o777, st.Uid, st.Gid)
	switch kind {
	case "l":
		target, err := os.Readlink(path)
		fmt.Fprintf(b, " %s\n", target)
		return err
	case "-":
		fmt.Fprintf(b, " %s\n", path)
		return nil
	}
	b.WriteString("\n")
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		kind := map[fs.FileMode]string{fs.ModeDir: "d", fs.ModeSymlink: "l", 0: "-"}[e.Type()]
		if kind == "" || strings.ContainsAny(e.Name(), " \n\t") {
			return fmt.Errorf("%s/%s: a prototype file cannot say this", path, e.Name())
		}
		if err := describe(b, filepath.Join(path, e.Name()), e.Name(), kind); err != nil {
			return err
		}
	}
	b.WriteString("$\n")
	return nil
}
