package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/diskcast/diskcast/internal/sparse"
	"github.com/diskcast/diskcast/internal/testenv/proc"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/ext"
)

// Names of the rivals, which judge looks up.
const (
	checked   = "partclone | zstd -T0 -3"
	unchecked = "partclone -a0 | zstd -T0 -3"
)

func (b *suite) all() error {
	if err := b.measureDisk(); err != nil {
		return err
	}
	for _, f := range []func() error{b.captures, b.restores, b.deltas, b.optimized} {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

func (b *suite) measureDisk() error {
	f, err := os.Open(b.disk)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	fs, err := ext.Open(f, st.Size())
	if err != nil {
		return fmt.Errorf("%s: %w", b.disk, err)
	}
	extents, err := fs.Extents()
	if err != nil {
		return err
	}
	b.used = volume.Bytes(extents)
	b.report.Machine["used_bytes"] = b.used
	fmt.Fprintf(b.log, "%d MB used of %d\n", b.used/1e6, st.Size()/1e6)
	return nil
}

// rival is one way to keep what partclone reads.
type rival struct{ who, options, pack, unpack, restore, file string }

// capture is the pipeline that makes out of the disk.
func (r rival) capture(disk, out string) string {
	return fmt.Sprintf("partclone.ext4 -c %s -s %s -o - -L /dev/null 2>/dev/null | %s >%s", r.options, disk, r.pack,
		out)
}

var rivals = []rival{
	{checked, "", "zstd -q -T0 -3 -c", "zstd -q -dc", "partclone.restore", "pc.zst"},
	{unchecked, "-a0", "zstd -q -T0 -3 -c", "zstd -q -dc", "partclone.restore -C -W -f 1", "pc0.zst"},
	{"partclone | pigz", "", "pigz -c", "pigz -dc", "partclone.restore", "pc.gz"},
}

func (b *suite) captures() error {
	for _, r := range rivals {
		out := b.path(r.file)
		err := b.measure(step{kind: "capture", who: r.who,
			shell: r.capture(b.disk, out), size: func() int64 { return fileSize(out) }})
		if err != nil {
			return err
		}
	}
	for _, level := range []string{"fast", "small", "default"} {
		store := "store-" + level
		err := b.measure(step{kind: "capture", who: "diskcast " + level,
			child:  []string{"capture", b.path(store), "disk", level, b.disk},
			before: func() error { return b.remove(store) }})
		if err != nil {
			return err
		}
	}
	return b.remove("store-fast", "store-small")
}

func (b *suite) restores() error {
	target := b.path("target")
	fsck := func() error { return proc.Run(b.ctx, nil, "e2fsck", "-fn", target) }
	for _, r := range rivals {
		if !b.wants("restore", r.who) {
			continue
		}
		if fileSize(b.path(r.file)) == 0 {
			if err := proc.Run(b.ctx, nil, "sh", "-c", r.capture(b.disk, b.path(r.file))); err != nil {
				return err
			}
		}
		err := b.measure(step{kind: "restore", who: r.who,
			shell: fmt.Sprintf("%s %s | %s -s - -O %s -L /dev/null 2>/dev/null", r.unpack, b.path(r.file), r.restore,
				target),
			before: func() error { return b.fresh(target) }, after: fsck})
		if err != nil {
			return err
		}
	}
	if err := b.remove("pc.zst", "pc0.zst", "pc.gz"); err != nil {
		return err
	}
	if !b.wants("restore", "diskcast") {
		return nil
	}
	if err := b.stored(); err != nil {
		return err
	}
	return b.measure(step{kind: "restore", who: "diskcast",
		child:  []string{"restore", b.path("store-default"), "disk", target},
		before: func() error { return b.fresh(target) },
		after:  func() error { return errFirst(fsck(), b.check("disk", target)) },
		note:   "every byte hashed before it is written"})
}

// stored captures the disk at the default level where -only left that out.
func (b *suite) stored() error {
	store := b.path("store-default")
	if fileSize(filepath.Join(store, "index.json")) > 0 {
		return nil
	}
	return proc.Run(b.ctx, nil, os.Args[0], "child", "capture", store, "disk", "default", b.disk)
}

// fresh makes an empty target of the disk's size.
func (b *suite) fresh(target string) error {
	if err := os.RemoveAll(target); err != nil {
		return err
	}
	return sparse.Create(target, fileSize(b.disk))
}

func (b *suite) check(name, target string) error {
	return proc.Run(b.ctx, nil, os.Args[0], "child", "check", b.path("store-default"), name, target)
}

func errFirst(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// deltas changes 5 % of the chunks, captures again into the same store, and restores onto a disk that has the old
// image.
func (b *suite) deltas() error {
	if !b.wants("capture again", "diskcast default") && !b.wants("restore delta", "diskcast") {
		return nil
	}
	if err := b.stored(); err != nil {
		return err
	}
	old, target, store := b.path("old"), b.path("target"), b.path("store-default")
	if err := proc.Run(b.ctx, nil, os.Args[0], "child", "restore", store, "disk", old); err != nil {
		return err
	}
	cells, changed, err := change(b.disk)
	if err != nil {
		return err
	}
	note := fmt.Sprintf("%d of %d cells changed", changed, cells)
	err = b.measure(step{kind: "capture again", who: "diskcast default",
		child: []string{"capture", b.path("again"), "next", "default", b.disk},
		before: func() error {
			if err := b.remove("again"); err != nil {
				return err
			}
			return proc.Run(b.ctx, nil, "cp", "-a", store, b.path("again"))
		}, note: note})
	if err != nil {
		return err
	}
	if err := b.remove("again"); err != nil {
		return err
	}
	if err := proc.Run(b.ctx, nil, os.Args[0], "child", "capture", store, "next", "default", b.disk); err != nil {
		return err
	}
	return b.measure(step{kind: "restore delta", who: "diskcast", child: []string{"delta", store, "next", target},
		before: func() error {
			if err := os.RemoveAll(target); err != nil {
				return err
			}
			return sparse.Copy(b.ctx, old, target)
		},
		after: func() error { return b.check("next", target) }, note: note})
}
