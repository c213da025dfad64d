// Mkimage makes a boot directory: the folder from which `diskcast serve` boots nodes over the network.
//
// It puts a kernel, its modules, the node's userland (embedded in mkimage) and the site's settings together. It needs
// no Go toolchain and no network. `mkimage --help` has examples; docs/booting.md says what each file is for.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/diskcast/diskcast/mkimage/userland"
	"golang.org/x/sys/unix"
)

// version is the release; the build sets it.
var version = "dev"

func main() {
	ends := []os.Signal{os.Interrupt, unix.SIGTERM}
	if !signal.Ignored(unix.SIGHUP) { // nohup(1)
		ends = append(ends, unix.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends a program that waits for a file or a pipe
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "mkimage:", err)
		os.Exit(exitCode(err))
	}
}

// usageError is a command line that is wrong by itself: exit code 2, as everything else is 1.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func exitCode(err error) int {
	if e, ok := errors.AsType[codeError](err); ok {
		return e.code
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return 2
	}
	return 1
}

func run(ctx context.Context, args []string, _ io.Reader, stdout, stderr io.Writer) error {
	cmd := newCommand(userland.Archive)
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return context.Cause(ctx) // which signal it was
	}
	return err
}
