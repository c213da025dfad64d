package bench

import (
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/diskcast/diskcast/internal/sparse"
	"github.com/diskcast/diskcast/internal/testenv/debian"
	"github.com/diskcast/diskcast/internal/testenv/proc"
)

// packages make a Debian root of about 2 GB: a workstation's compilers, interpreters, documents and firmware.
const packages = "linux-image-amd64,build-essential,git,gdb,vim,emacs-nox,python3,python3-numpy,python3-scipy,perl," +
	"ruby,texlive-base,firmware-linux-free,man-db,manpages-dev,systemd-sysv,openssh-server,postgresql," +
	"libboost-dev,fonts-dejavu"

const diskSize = 8 << 30

// Root makes a disk without partitions, an ext4 file system of 8 GiB with a Debian root of about 2 GB, unless the cache
// has it. It needs root and mmdebstrap.
func Root(ctx context.Context, cache string, log io.Writer) (string, error) {
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
	fmt.Fprintln(log, "making a Debian root of about 2 GB with mmdebstrap; it is kept in", cache)
	tree, tmp := filepath.Join(dir, "root"), filepath.Join(dir, "disk")
	if err := proc.Alone(ctx, nil, "mmdebstrap", "--quiet", "--mode=root", "--variant=important", "--format=directory",
		"--include="+packages,
		"--aptopt=APT::Install-Recommends \"false\"", "bookworm", tree, debian.Mirror()); err != nil {
		return "", err
	}
	if err := sparse.Create(tmp, diskSize); err != nil {
		return "", err
	}
	if err := proc.Run(ctx, nil, "mkfs.ext4", "-q", "-F", "-d", tree, tmp); err != nil {
		return "", err
	}
	return path, os.Rename(tmp, path)
}
