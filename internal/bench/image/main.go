// Command bench measures captures and restores beside partclone with zstd and with pigz: a real Debian root on ext4,
// from tmpfs to tmpfs, all in one run. It is what `make bench-image` runs, as root. It prints a table and the bars and
// writes build/bench/image.json.
//
//	bench [-runs 3] [-disk FILE] [-dir DIR] [-only REGEXP] [-out build/bench/image.json]
//
// -only matches "CASE WHO" of the table: `-only optimize` measures that alone, in minutes instead of a quarter of an
// hour. What a case needs and was left out, such as a capture, is made without being measured. Without -disk it makes
// the disk with mmdebstrap, once, under build/cache. A bar that is missed is printed as missed and makes no failure;
// the bench fails when something did not run or when a restored file system is not the captured one.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if len(os.Args) > 1 && os.Args[1] == "child" {
		err = child(ctx, os.Args[2:], os.Stdout, os.Stderr)
	} else {
		err = run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
