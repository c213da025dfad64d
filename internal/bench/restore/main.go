// Command restore measures what an operator waits for: one server, two nodes, an image of a real Debian root, from
// the start of the session until both disks carry it. It is what `make bench-restore` runs, as root. Ours are the
// server's and the agent's own programs, as they run in a lab, in network namespaces with 1 Gbit/s on every port of the
// switch between them; beside them, in the same place and the same run, udpcast with partclone. It prints a table and
// the bars and writes build/bench/restore.json.
//
//	bench-restore [-runs 3] [-rivals 1] [-disk FILE] [-dir DIR] [-only REGEXP] [-bitrates none,900m,800m]
//	              [-out build/bench/restore.json]
//
// The disks are files on tmpfs. A bar that is missed is printed as missed and makes no failure; the bench fails when
// something did not run or when a disk does not hold the image.
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
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench-restore:", err)
		os.Exit(1)
	}
}
