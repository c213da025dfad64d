// Package userland builds the node's userland: one binary of many commands, and the archive around it.
//
// The commands are rewritten into one program by gobusybox, compiled by the Go toolchain that runs this package, and
// laid out the way uinit expects it. The same sources and the same toolchain give the same bytes, wherever the
// checkout lies.
package userland

import (
	"bytes"
	"context"
	"io"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/diskcast/diskcast/internal/ramfs"
)

// Options of Build.
type Options struct {
	Module  string    // the folder of the module, where go.mod is
	Arch    string    // GOARCH of the node
	Agent   string    // the package of the agent
	Version string    // of the release; the node finds it in /etc/diskcast/release
	Log     io.Writer // what the build says; nil discards
}

// Build compiles the userland and returns it as an archive, not compressed.
func Build(ctx context.Context, o Options) (*ramfs.Archive, error) {
	commands, err := Commands(filepath.Join(o.Module, "initramfs", "tools.go"))
	if err != nil {
		return nil, err
	}
	commands = append(commands, o.Agent)
	dir, err := os.MkdirTemp("", "diskcast-userland-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	src, err := Generate(o, filepath.Join(dir, "src"), commands)
	if err != nil {
		return nil, err
	}
	bin := filepath.Join(dir, "bb")
	if err := src.Compile(ctx, bin, Stripped); err != nil {
		return nil, err
	}
	bb, err := os.ReadFile(bin)
	if err != nil {
		return nil, err
	}
	modules, err := src.modules(ctx, o, commands)
	if err != nil {
		return nil, err
	}
	a, err := layOut(bb, o.Version, commands)
	if err != nil {
		return nil, err
	}
	return a, a.Add(ramfs.NewFile(modulesFile, 0o644, modules))
}

// layOut makes the archive of a userland: the binary, a link for each command, and the files that our commands expect.
func layOut(bb []byte, version string, commands []string) (*ramfs.Archive, error) {
	a := &ramfs.Archive{}
	err := a.Add(
		ramfs.NewFile("bbin/bb", 0o755, bb),
		// The kernel starts /init.
		ramfs.NewSymlink("init", "bbin/uinit"),
		ramfs.NewSymlink("bin/sh", "../bbin/gosh"),
		ramfs.NewSymlink("bin/defaultsh", "../bbin/gosh"),
		ramfs.NewSymlink("bin/diskcast-agent", "../bbin/agent"),
		// The kernel asks for modules here (CONFIG_MODPROBE_PATH: /sbin/modprobe), and uinit puts modprobe here.
		ramfs.NewDir("sbin", 0o755),
		ramfs.NewDir("dev", 0o755),
		ramfs.NewDir("proc", 0o555),
		ramfs.NewDir("sys", 0o555),
		ramfs.NewDir("tmp", 0o1777),
		ramfs.NewDir("root", 0o700),
		ramfs.NewDir("mnt", 0o755),
		ramfs.NewDir("run", 0o755),
		ramfs.NewDir("var/log", 0o755),
		ramfs.NewFile("etc/diskcast/release", 0o644, []byte(version+"\n")),
		// Empty on purpose: mkuimage's default names a public resolver, and a node must ask nobody but its own network.
		ramfs.NewFile("etc/resolv.conf", 0o644, []byte("# Written from the DHCP lease.\n")),
		ramfs.NewFile("etc/hosts", 0o644, []byte("127.0.0.1 localhost\n::1 localhost\n")),
		ramfs.NewFile("etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\n")),
		ramfs.NewFile("etc/group", 0o644, []byte("root:x:0:\n")),
	)
	if err != nil {
		return nil, err
	}
	for _, c := range commands {
		if err := a.Add(ramfs.NewSymlink("bbin/"+path.Base(c), "bb")); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// Pack writes an archive as cpio, plain and compressed; both results depend on the archive alone.
func Pack(a *ramfs.Archive) (cpio, gz []byte, err error) {
	var plain, packed bytes.Buffer
	if err := a.Write(&plain, time.Time{}); err != nil {
		return nil, nil, err
	}
	if _, err := a.Pack(&packed, time.Time{}); err != nil {
		return nil, nil, err
	}
	return plain.Bytes(), packed.Bytes(), nil
}
