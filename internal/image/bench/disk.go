package main

import (
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/diskcast/diskcast/internal/volume/ext"
)

// packages make a Debian root of about 2 GB: a workstation's compilers, interpreters, documents and firmware.
const packages = "linux-image-amd64,build-essential,git,gdb,vim,emacs-nox,python3,python3-numpy,python3-scipy,perl,ruby," +
	"texlive-base,firmware-linux-free,man-db,manpages-dev,systemd-sysv,openssh-server,postgresql,libboost-dev,fonts-dejavu"

const diskSize = 8 << 30

// makeDisk makes the ext4 file system that the bench captures, unless the cache has it.
func makeDisk(ctx context.Context, cache string, log io.Writer) (string, error) {
	path := filepath.Join(cache, fmt.Sprintf("bench-root-%08x.ext4", crc32.ChecksumIEEE([]byte(packages))))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(cache, "bench-root-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	mirror := os.Getenv("DISKCAST_MIRROR")
	if mirror == "" {
		mirror = "http://deb.debian.org/debian"
	}
	fmt.Fprintln(log, "making a Debian root of about 2 GB with mmdebstrap; it is kept in", cache)
	tree, tmp := filepath.Join(dir, "root"), filepath.Join(dir, "disk")
	if err := command(ctx, log, "mmdebstrap", "--quiet", "--mode=root", "--variant=important", "--format=directory", "--include="+packages,
		"--aptopt=APT::Install-Recommends \"false\"", "bookworm", tree, mirror); err != nil {
		return "", err
	}
	if err := sparse(tmp, diskSize); err != nil {
		return "", err
	}
	if err := command(ctx, log, "mkfs.ext4", "-q", "-F", "-d", tree, tmp); err != nil {
		return "", err
	}
	return path, os.Rename(tmp, path)
}

// command runs a program whose words matter only when it fails.
func command(ctx context.Context, log io.Writer, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		_, _ = log.Write(out)
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func sparse(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := f.Truncate(size); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// change overwrites a page of file data in every twentieth of the 4 MiB cells that the file system uses, so that 5 % of the chunks differ.
func change(path string) (cells, changed int, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	fs, err := ext.Open(f, st.Size())
	if err != nil {
		return 0, 0, err
	}
	extents, err := fs.Extents()
	if err != nil {
		return 0, 0, err
	}
	// The last page that is used in each cell: group descriptors and inode tables are at the front of block groups.
	last := map[int64]int64{}
	var order []int64
	for _, e := range extents {
		for at := e.Offset; at+4096 <= e.End(); at += 4096 {
			c := at >> 22
			if _, ok := last[c]; !ok {
				order = append(order, c)
			}
			last[c] = at
		}
	}
	r := rand.NewChaCha8([32]byte{5})
	page := make([]byte, 4096)
	for i, c := range order {
		if i%20 != 10 {
			continue
		}
		_, _ = r.Read(page)
		if _, err := f.WriteAt(page, last[c]); err != nil {
			return 0, 0, err
		}
		changed++
	}
	return len(order), changed, f.Close()
}
