// Command diskcast puts disk images on many machines at once: it serves network boot, casts images by reliable
// multicast, and is the operator's tool for images, sessions and nodes. `diskcast help` lists the commands.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/diskcast/diskcast/server/cmd"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends a program that waits for a file or a pipe
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		cmd.WriteError(os.Stderr, os.Args[1:], err)
	}
	os.Exit(cmd.ExitCode(err))
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	return cmd.Run(ctx, args, stdin, stdout, stderr)
}
