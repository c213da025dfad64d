// Uinit is the first program of ours on a node: u-root's init starts it when the kernel's file systems are mounted.
//
// Synopsis:
//
//	uinit
//
// Description:
//
//	Loads the drivers of the machine and keeps the agent running: what the agent says goes to all consoles and to
//	/var/log/agent.log, and when it ends it is started again, later each time. A shell is on every console from the
//	first failure of the agent on, or at once with diskcast.shell on the kernel's command line. With diskcast.debug
//	there each driver is named.
//
//	It never ends by itself: after it u-root's init would run a shell, and after that the kernel would panic.
package main

import (
	"context"
	"fmt"
	"os"
)

func main() {
	// Signals are for the agent and the shells; nothing stops this program.
	if err := run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "uinit:", err)
		os.Exit(1)
	}
}
