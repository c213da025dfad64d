// Command bench measures the cast beside udpcast and UFTP: one sender and receivers in network namespaces, all in one
// run. It is what `make bench-cast` runs, as root. It prints a table and the bars and writes build/bench/cast.json.
//
//	bench [-runs 3] [-size 512] [-only REGEXP] [-out build/bench/cast.json] [-rivals=false]
//
// A bar that is missed is printed as missed and makes no failure; the bench fails when something did not run or when a
// received byte was wrong.
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
	switch {
	case len(os.Args) > 1 && os.Args[1] == "child-send":
		err = childSend(ctx, os.Args[2:], os.Stdout)
	case len(os.Args) > 1 && os.Args[1] == "child-recv":
		err = childRecv(ctx, os.Args[2:], os.Stdout)
	default:
		err = run(ctx, os.Args[1:], os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
