package osimage

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/diskcast/diskcast/internal/testenv/debian"
	"github.com/diskcast/diskcast/internal/testenv/proc"
)

// Address is the one that the Debian of Server gives itself, and ServerName its name.
const (
	Address    = "10.77.0.2"
	ServerName = "server"
)

// Of the Debian that a server is installed on. Its kernel is the usual one, which has the drivers of real machines.
const (
	serverPackages = "linux-image-amd64,initramfs-tools,zstd,systemd-sysv,udev,e2fsprogs,util-linux,kmod,iproute2," +
		"openssh-server"
	offered = "ipxe" // what its only package source has
	lan     = "[Match]\nType=ether\n\n[Network]\nAddress=" + Address + "/24\nIPv6AcceptRA=no\n"
	// home is the file system, on a disk of its own, that root's files are on.
	home = "LABEL=home /root ext4 defaults 0 2\n"
)

var serverLayout = layout{
	esp: 64 * mib, root: 3072 * mib,
	diskGUID: "D15CCA57-0000-45E4-8000-00000000B00C",
	espGUID:  "D15CCA57-0001-45E4-8000-00000000B00C",
	rootGUID: "D15CCA57-0002-45E4-8000-00000000B00C",
	rootUUID: "d15cca57-0004-45e4-8000-00000000b00c",
	espID:    "d15cca58",
}

//go:embed build-server.sh
var serverScript string

// Server is a Debian with nothing but what Debian has, of address Address and name ServerName, on which a server is
// installed. Its one package source is in it; root's home is on another disk, labelled "home".
func Server(ctx context.Context, cache string, log logWriter) (*Image, error) {
	l, mirror := serverLayout, debian.Mirror()
	name := "server-" + key("1", suite, serverPackages, offered, lan, home, ServerName, cmdline, passwordHash,
		serverScript, l.script())
	return cached(ctx, cache, name, func(ctx context.Context, dir string) (meta, error) {
		return machine(ctx, dir, log, l, ServerName, lan, home, func(script, root, _ string) []string {
			return []string{script, root, suite, mirror, serverPackages, offered}
		}, serverScript)
	})
}

// machine makes a disk of the tree that a script makes, with a network of systemd's and more lines of fstab.
func machine(ctx context.Context, dir string, log logWriter, l layout, name, network, fstab string,
	args func(script, root, esp string) []string, text string) (meta, error) {
	if os.Geteuid() != 0 {
		return meta{}, errors.New("making a Debian needs root; run with sudo")
	}
	root, esp, script := filepath.Join(dir, "root"), filepath.Join(dir, "esp"), filepath.Join(dir, "build.sh")
	if err := errors.Join(os.MkdirAll(esp, 0o755), os.WriteFile(script, []byte(text), 0o700)); err != nil {
		return meta{}, err
	}
	if err := proc.Alone(ctx, log, "sh", args(script, root, esp)...); err != nil {
		return meta{}, fmt.Errorf("make a Debian tree: %w", err)
	}
	release, err := customize(root, esp, l, name)
	if err != nil {
		return meta{}, err
	}
	if err := errors.Join(networkd(root, network), appendTo(filepath.Join(root, "etc/fstab"), fstab)); err != nil {
		return meta{}, err
	}
	if err := keepKernel(ctx, dir, root, release, log); err != nil {
		return meta{}, err
	}
	return meta{RootUUID: l.rootUUID, Cmdline: cmdline, Release: release}, finish(ctx, dir, l, log)
}

// networkd has systemd-networkd bring up the network at each start.
func networkd(root, network string) error {
	units := filepath.Join(root, "etc/systemd/system")
	for want, unit := range map[string]string{"multi-user.target.wants": "systemd-networkd.service",
		"network-online.target.wants": "systemd-networkd-wait-online.service"} {
		if err := os.MkdirAll(filepath.Join(units, want), 0o755); err != nil {
			return err
		}
		if err := os.Symlink("/lib/systemd/system/"+unit, filepath.Join(units, want, unit)); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(root, "etc/systemd/network/lan.network"), []byte(network), 0o644)
}

func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
