// Build makes the node's userland at project build time.
//
// Synopsis:
//
//	go run ./initramfs/build [-o FILE] [-embed DIR] [-agent PACKAGE] [-arch GOARCH] [-version V]
//
// Description:
//
//	Compiles the commands of initramfs/tools.go and the agent into one binary, writes the archive to FILE and,
//	compressed, to FILE.gz, and prints their sizes and digests. With -embed it also puts the compressed archive into
//	the folder from which mkimage embeds it. The same sources give the same bytes.
package main

import (
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/diskcast/diskcast/initramfs/userland"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "initramfs/build:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("build", flag.ContinueOnError)
	flags.SetOutput(stderr)
	out := flags.String("o", "build/initramfs/userland.cpio",
		"archive to write; the compressed one is beside it with .gz")
	embed := flags.String("embed", "mkimage/userland", "folder that mkimage embeds; empty: none")
	agent := flags.String("agent", "github.com/diskcast/diskcast/agent", "package of the agent")
	arch := flags.String("arch", "amd64", "GOARCH of the nodes")
	version := flags.String("version", "dev", "release, which nodes find in /etc/diskcast/release")
	if err := flags.Parse(args); err != nil {
		return err
	}
	module, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	a, err := userland.Build(ctx,
		userland.Options{Module: module, Arch: *arch, Agent: *agent, Version: *version, Log: stderr})
	if err != nil {
		return err
	}
	plain, gz, err := userland.Pack(a)
	if err != nil {
		return err
	}
	files := map[string][]byte{*out: plain, *out + ".gz": gz}
	names := []string{*out, *out + ".gz"}
	if *embed != "" {
		name := filepath.Join(*embed, "userland.cpio.gz")
		if *arch != "amd64" {
			name = filepath.Join(*embed, "userland-"+*arch+".cpio.gz")
		}
		files[name], names = gz, append(names, name)
	}
	for _, name := range names {
		if err := write(name, files[name]); err != nil {
			return err
		}
		fmt.Fprintf(stdout, "%s: %.2f MiB, sha256 %x\n", name, float64(len(files[name]))/(1<<20),
			sha256.Sum256(files[name]))
	}
	return nil
}

// write replaces a file in one step: another build may be reading it.
func write(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	tmp := name + ".new"
	if err := os.WriteFile(tmp, data, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, name)
}

func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	mod := strings.TrimSpace(string(out))
	if mod == "" || mod == os.DevNull {
		return "", fmt.Errorf("no go.mod here: run this inside the project's checkout")
	}
	return filepath.Dir(mod), nil
}
