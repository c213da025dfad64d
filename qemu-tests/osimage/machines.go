package osimage

import (
	"context"
	_ "embed"
	"path/filepath"

	"github.com/diskcast/diskcast/internal/testenv/debian"
)

// Of the Debian that a server is installed on. Its kernel is the usual one, which has the drivers of real machines.
const (
	serverName     = "server"
	serverPackages = "linux-image-amd64,initramfs-tools,zstd,systemd-sysv,udev,e2fsprogs,util-linux,kmod,iproute2"
	offered        = "ipxe linux-image-amd64" // what its only package source has, beside the kernel that this names
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

// Server is a Debian with nothing but what Debian has, on which a server is installed. Its one package source is in it.
func Server(ctx context.Context, cache string, log logWriter) (*Image, error) {
	l, mirror := serverLayout, debian.Mirror()
	name := "server-" + key("2", suite, serverPackages, offered, serverName, cmdline, passwordHash, serverScript,
		grubConfig, l.script())
	return cached(ctx, cache, name, func(ctx context.Context, dir string) (meta, error) {
		root := filepath.Join(dir, "root")
		return system(ctx, dir, log, l, identity{name: serverName}, serverScript, root, suite, mirror, serverPackages,
			offered)
	})
}

// Of the Debian that a lab's machines become. It was set up on one of them, as a golden image is: its name, machine-id
// and SSH host keys are those of all until somebody makes them each machine's own.
const (
	GoldenName      = "golden"
	GoldenMachineID = "9e1d00000000400080000000d15cca57"
	goldenPackages  = packages + ",openssh-server"
	// goldenServices start its network, by DHCP, and SSH.
	goldenServices = "systemd-networkd ssh"
	goldenNetwork  = "[Match]\nType=ether\n\n[Network]\nDHCP=ipv4\n"
)

var goldenLayout = layout{
	esp: 64 * mib, root: 512 * mib,
	diskGUID: "D15CCA57-0000-901D-8000-00000000B00C",
	espGUID:  "D15CCA57-0001-901D-8000-00000000B00C",
	rootGUID: "D15CCA57-0002-901D-8000-00000000B00C",
	rootUUID: "d15cca57-0004-901d-8000-00000000b00c",
	espID:    "d15cca59",
}

// Golden is a Debian with an SSH server, set up on one machine to be given to many. UEFI firmware starts it.
func Golden(ctx context.Context, cache string, log logWriter) (*Image, error) {
	l, mirror := goldenLayout, debian.Mirror()
	script := buildScript + "systemctl --quiet --root \"$root\" enable " + goldenServices + "\n" +
		"printf '" + goldenNetwork + "' >\"$root/etc/systemd/network/80-lan.network\"\n"
	name := "golden-" + key("1", suite, goldenPackages, GoldenName, GoldenMachineID, cmdline, passwordHash, script,
		grubConfig, l.script())
	return cached(ctx, cache, name, func(ctx context.Context, dir string) (meta, error) {
		return system(ctx, dir, log, l, identity{name: GoldenName, machineID: GoldenMachineID + "\n"}, script,
			filepath.Join(dir, "root"), filepath.Join(dir, "esp"), dir, suite, mirror, goldenPackages)
	})
}
