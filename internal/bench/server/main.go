// Command bench measures the server alone: machines of software that say hello, ask what to do and report as agents do,
// over TLS and each from an address as on a LAN, with operators who follow all of it; then DHCP, and a start with many
// machines known. It is what `make bench-server` runs, as root. It prints a table and the bars and writes
// build/bench/server.json.
//
//	bench [-machines 5000] [-beside 0] [-known 10000] [-watchers 50] [-for 30s] [-out build/bench/server.json]
//
// A bar that is missed is printed as missed and makes no failure; the bench fails when something did not run or was
// answered wrongly. Machines and server share the processors: the table has the time of the processor that the server
// took beside the clock's.
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
	case len(os.Args) > 1 && os.Args[1] == "child-load":
		err = childLoad(ctx, os.Args[2:], os.Stdout)
	case len(os.Args) > 1 && os.Args[1] == "child-dhcp":
		err = childDHCP(ctx, os.Args[2:], os.Stdout)
	default:
		err = run(ctx, os.Args[1:], os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
