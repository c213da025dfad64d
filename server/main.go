// Command diskcast puts disk images on many machines at once: it serves network boot, casts images by reliable
// multicast, and is the operator's tool for images, sessions and nodes. `diskcast help` lists the commands.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "diskcast: %s\n", plain.Text(err.Error()))
	}
	os.Exit(cli.ExitCode(err))
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	return cli.Run(ctx, args, stdin, stdout, stderr)
}
