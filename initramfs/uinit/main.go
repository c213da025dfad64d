// Uinit is the first program of a node: the kernel starts it, as /init, when it has unpacked the boot archive.
//
// Synopsis:
//
//	uinit
//
// Description:
//
//	Mounts the kernel's file systems, loads the drivers of the machine and keeps the agent running: what the agent
//	says goes to all consoles and to /var/log/agent.log, and when it ends it is started again, later each time. A
//	shell is on every console from the first failure of the agent on, or at once with diskcast.shell on the kernel's
//	command line. With diskcast.debug there each driver is named.
//
//	It takes away processes that ended and that nobody waits for. It never ends by itself, since the kernel would
//	panic; where it cannot go on it becomes a shell.
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
		if first() {
			fmt.Fprintln(os.Stderr, "uinit: no shell either:", instead())
		}
		os.Exit(1)
	}
}
