// Size says how large the node's userland is and what of it each command is worth.
//
// Synopsis:
//
//	go run ./initramfs/size [-f FILE] [-limit MIB] [-agent PACKAGE]
//
// Description:
//
//	Prints the size of the compressed archive, which initramfs/build made, and a table of the commands: how much only
//	this command brings along, in KiB of the compressed archive. The parts are estimated: bytes of code and data,
//	scaled to the whole. Exits 1 when the archive is over the limit.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/diskcast/diskcast/initramfs/userland"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "initramfs/size:", err)
		os.Exit(1)
	}
}

const mib = 1 << 20

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("size", flag.ContinueOnError)
	flags.SetOutput(stderr)
	file := flags.String("f", "build/initramfs/userland.cpio.gz", "compressed archive")
	limit := flags.Float64("limit", 8, "largest size allowed, in MiB")
	agent := flags.String("agent", "github.com/diskcast/diskcast/agent", "package of the agent")
	if err := flags.Parse(args); err != nil {
		return err
	}
	st, err := os.Stat(*file)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: run `make initramfs` first", err)
	}
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return fmt.Errorf("go env GOMOD: %w", err)
	}
	temp, err := os.MkdirTemp("", "diskcast-size-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	shares, rest, err := userland.Shares(ctx, userland.Options{
		Module: filepath.Dir(strings.TrimSpace(string(out))), Arch: "amd64", Agent: *agent, Log: stderr,
	}, temp)
	if err != nil {
		return err
	}
	if err := table(stdout, st.Size(), shares, rest); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s: %.2f MiB, %.2f MiB allowed\n", *file, float64(st.Size())/mib, *limit)
	if float64(st.Size()) > *limit*mib {
		return fmt.Errorf("the userland is %.2f MiB too large: leave a command out of initramfs/tools.go",
			float64(st.Size())/mib-*limit)
	}
	return nil
}

func table(w io.Writer, total int64, shares []userland.Share, rest int64) error {
	sum := rest
	for _, s := range shares {
		sum += s.Bytes
	}
	scale := float64(total) / float64(max(sum, 1)) / 1024
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(tw, "KiB alone\tcommand\t\n%.0f\t(several, and the Go runtime)\t\n", float64(rest)*scale)
	for _, s := range shares {
		fmt.Fprintf(tw, "%.0f\t%s\t\n", float64(s.Bytes)*scale, s.Command)
	}
	return tw.Flush()
}
