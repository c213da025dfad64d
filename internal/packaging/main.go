// Packaging makes the Debian and RPM packages of diskcast for amd64 and arm64: the two programs, the unit of systemd,
// man pages, completions and an example of the settings file. The same commit gives the same bytes.
//
//	go run ./internal/packaging -version $(git describe --always) -epoch $(git log -1 --format=%ct) \
//		-out build/packages
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "packaging:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var p build
	var epoch int64
	var out, arches, formats string
	f := flag.NewFlagSet("packaging", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&p.version, "version", "dev", "what the programs say")
	f.Int64Var(&epoch, "epoch", 0, "time of the commit, in seconds since 1970")
	f.StringVar(&out, "out", "build/packages", "folder for the packages")
	f.StringVar(&arches, "arch", "amd64,arm64", "processors, joined by commas")
	f.StringVar(&formats, "format", "deb,rpm", "kinds of packages, joined by commas")
	if err := f.Parse(args); err != nil {
		return err
	}
	if epoch <= 0 {
		return errors.New("-epoch is missing: packages bear the time of their commit")
	}
	p.time = time.Unix(epoch, 0).UTC()
	// What help says must not depend on who makes the packages.
	for _, v := range []string{"DISKCAST_STATE", "DISKCAST_SERVER"} {
		if err := os.Unsetenv(v); err != nil {
			return err
		}
	}
	temp, err := os.MkdirTemp("", "diskcast-packaging-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for _, arch := range strings.Split(arches, ",") {
		programs := filepath.Join(temp, arch)
		if err := p.compile(ctx, arch, programs, stderr); err != nil {
			return err
		}
		for _, format := range strings.Split(formats, ",") {
			if err := p.write(format, arch, programs, out, stdout); err != nil {
				return fmt.Errorf("%s for %s: %w", format, arch, err)
			}
		}
	}
	return nil
}

// compile makes the programs. mkimage carries the nodes' userland for both architectures, whatever its own is.
func (p *build) compile(ctx context.Context, arch, dir string, stderr io.Writer) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, pkg := range map[string]string{"diskcast": "./server", "mkimage": "./mkimage"} {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
			"-tags", "nethttpomithttp2", "-ldflags",
			"-s -w -buildid= -X github.com/diskcast/diskcast/server/cmd.Version="+p.version+" -X main.version="+
				p.version,
			"-o", filepath.Join(dir, name), pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
		cmd.Stderr = stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s for %s: %w", name, arch, err)
		}
	}
	return nil
}

// write packs twice: what is not the same twice is not reproducible, and is not written.
func (p *build) write(format, arch, programs, out string, stdout io.Writer) error {
	var one, two bytes.Buffer
	name, err := p.pack(&one, format, arch, programs)
	if err != nil {
		return err
	}
	if _, err := p.pack(&two, format, arch, programs); err != nil {
		return err
	}
	if !bytes.Equal(one.Bytes(), two.Bytes()) {
		return errors.New("packed twice, it is not the same: something in it bears the time or the order of chance")
	}
	path := filepath.Join(out, name)
	if err := os.WriteFile(path, one.Bytes(), 0o644); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s  %.1f MB\n", path, float64(one.Len())/1e6)
	return err
}
