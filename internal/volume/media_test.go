package volume_test

import (
	"bytes"
	"crypto/sha256"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// medium is how files come into a file system, and how what is in it is listed.
type medium struct {
	fill func(t *testing.T, image string, v variant) (list string)
	list func(t *testing.T, image string, v variant) string
}

// kernel is the host's own; more is done when a tree is in, and options are for what is restored.
func kernel(fstype, options string, more func(t *testing.T, dir string, v variant)) medium {
	return medium{
		fill: func(t *testing.T, image string, v variant) string {
			dir, unmount := volumetest.Mount(t, image, fstype, v.mount)
			defer unmount()
			volumetest.Fill(t, dir, v.mb)
			if more != nil {
				more(t, dir, v)
			}
			return volumetest.List(t, dir)
		},
		list: func(t *testing.T, image string, _ variant) string {
			dir, unmount := volumetest.Mount(t, image, fstype, options)
			defer unmount()
			return volumetest.List(t, dir)
		},
	}
}

// guest is a kernel in user mode, which has what the host's has not.
func guest(fstype string) medium {
	return medium{
		fill: func(t *testing.T, image string, v variant) string {
			return volumetest.Guest(t, volumetest.GuestFill, image, fstype, "", v.mb)
		},
		list: func(t *testing.T, image string, _ variant) string {
			return volumetest.Guest(t, volumetest.GuestList, image, fstype, "", 0)
		},
	}
}

// crash has a kernel in user mode go down after an fsync.
func crash(fstype string) func(t *testing.T, image string) string {
	return func(t *testing.T, image string) string {
		return volumetest.Guest(t, volumetest.GuestCrash, image, fstype, "", 4)
	}
}

// fuse is a FUSE program, on a loop device if it takes no files. Where fill is nil, a tree is written.
func fuse(loop bool, fill func(t *testing.T, dir string, v variant), program string) medium {
	mounted := func(t *testing.T, image string, options ...string) (dir string, unmount func()) {
		need.Tools(t, program)
		detach := func() {}
		if loop {
			image, detach = volumetest.Loop(t, image, 512)
		}
		dir, umount := volumetest.FUSE(t, image, append([]string{program}, options...)...)
		return dir, func() { umount(); detach() }
	}
	return medium{
		fill: func(t *testing.T, image string, v variant) string {
			dir, unmount := mounted(t, image)
			defer unmount()
			fill(t, dir, v)
			return volumetest.List(t, dir)
		},
		list: func(t *testing.T, image string, _ variant) string {
			dir, unmount := mounted(t, image, "-o", "ro")
			defer unmount()
			return volumetest.List(t, dir)
		},
	}
}

// rdump is debugfs, which reads also what this kernel cannot mount; mke2fs has put the files in.
func rdump() medium {
	list := func(t *testing.T, image string, _ variant) string { return volumetest.Rdump(t, image) }
	return medium{fill: list, list: list}
}

// mtools copies a tree in and deletes some of it again.
func mtools() medium {
	list := func(t *testing.T, image string, _ variant) string {
		dir := volumetest.Dir(t)
		volumetest.Run(t, "mcopy", "-i", image, "-s", "-n", "-Q", "::*", dir)
		return volumetest.List(t, dir)
	}
	return medium{list: list, fill: func(t *testing.T, image string, v variant) string {
		dir := tree(t, v.mb, "tiny-soft", "long-soft", "sparse") // FAT has no links and no holes
		names, err := filepath.Glob(dir + "/*")
		if err != nil {
			t.Fatal(err)
		}
		volumetest.Run(t, "mcopy", append(append([]string{"-i", image, "-s", "-Q"}, names...), "::")...)
		volumetest.Run(t, "mdeltree", "-i", image, "::many/dir1")
		volumetest.Run(t, "mcopy", "-i", image, "-Q", dir+"/large", "::/again")
		volumetest.Run(t, "mdeltree", "-i", image, "::large")
		return list(t, image, v)
	}}
}

// makefs has put the tree in; a kernel in user mode reads what it is told how to. It finds no UFS2 of makefs, whose
// superblock is not where Linux looks.
func makefs() medium {
	list := func(t *testing.T, image string, v variant) string {
		if v.mount == "" {
			return ""
		}
		list := volumetest.Guest(t, volumetest.GuestReadOnly, image, "ufs", v.mount, 0)
		if strings.Count(list, "\n") < 170 {
			t.Errorf("the guest sees %d lines", strings.Count(list, "\n"))
		}
		return list
	}
	return medium{fill: list, list: list}
}

// contains wants every sector of every file in tree to be somewhere in the image.
func contains(t *testing.T, image, tree string) {
	t.Helper()
	p, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	const sector = 512
	have := map[[sha256.Size]byte]bool{}
	for ; len(p) >= sector; p = p[sector:] {
		have[sha256.Sum256(p[:sector])] = true
	}
	err = filepath.WalkDir(tree, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || d.Name() == "sparse" {
			return err
		}
		p, err := os.ReadFile(path)
		for ; len(p) >= sector; p = p[sector:] {
			if !have[sha256.Sum256(p[:sector])] {
				t.Fatalf("%s is not in the restored image", path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// trees are what file systems are made from, each filled once and then only read.
var trees = struct {
	sync.Mutex
	owner *testing.T // with it they go
	dirs  []sapling
}{}

type sapling struct {
	mb      int
	without []string
	dir     string
}

// tree is a filled folder without some of its names.
func tree(t *testing.T, mb int, without ...string) string {
	t.Helper()
	trees.Lock()
	defer trees.Unlock()
	for _, s := range trees.dirs {
		if s.mb == mb && slices.Equal(s.without, without) {
			return s.dir
		}
	}
	dir := volumetest.Dir(trees.owner)
	volumetest.Fill(t, dir, mb)
	for _, name := range without {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	trees.dirs = append(trees.dirs, sapling{mb, without, dir})
	return dir
}

// subvolumes clones a file, takes a snapshot and deletes what is in the snapshot only from then on.
func subvolumes(t *testing.T, dir string, v variant) {
	volumetest.Run(t, "btrfs", "subvolume", "create", dir+"/sub")
	volumetest.Run(t, "cp", "--reflink=always", dir+"/large", dir+"/sub/clone")
	volumetest.Run(t, "btrfs", "subvolume", "snapshot", dir, dir+"/snap")
	for _, gone := range []string{"large", "hole1"} {
		if err := os.Remove(filepath.Join(dir, gone)); err != nil {
			t.Fatal(err)
		}
	}
	if v.then != "" {
		volumetest.Run(t, "btrfs", "balance", "start", "-f", v.then, dir)
	}
}

// largeClusters writes eight files where every file takes a large cluster, and a tree elsewhere.
func largeClusters(t *testing.T, dir string, v variant) {
	if v.then != "large clusters" {
		volumetest.Fill(t, dir, v.mb)
		return
	}
	for i := range 8 {
		if err := os.WriteFile(filepath.Join(dir, strings.Repeat("x", i+1)), bytes.Repeat([]byte{byte(i)}, 5000*i),
			0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// mke2fs copies a tree into what it makes.
func mke2fs(t *testing.T, v variant, size int64) string {
	var from []string
	if v.mb >= 0 {
		from = []string{"-d", tree(t, v.mb)}
	}
	image := volumetest.Mkfs(t, "ext", size, v.options, from...)
	if strings.Contains(v.options, "quota") {
		// mke2fs -d does not count what it copies. e2fsck does, and says by its exit status that it changed something.
		_ = exec.Command("e2fsck", "-fy", image).Run()
	}
	return image
}

// mkfs makes what has no files yet.
func mkfs(kind string) func(t *testing.T, v variant, size int64) string {
	return func(t *testing.T, v variant, size int64) string { return volumetest.Mkfs(t, kind, size, v.options) }
}
