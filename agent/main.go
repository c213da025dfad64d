// Agent turns a booted node into what its descriptor says.
//
// Synopsis:
//
//	agent [-site FILE] [-cmdline FILE] [-no-network] [-no-boot] [-disk PATH]...
//	agent -what-boots PATH [-passphrase-file FILE]
//
// Description:
//
//	It finds the NIC that the node booted from, gets a DHCP lease, says hello to the server, and waits for a
//	descriptor: then it checks the plan, writes the partition table, receives the image by multicast (or HTTP, where
//	multicast does not arrive), writes it, reads it back, and starts the restored system with kexec. Every step is an
//	event on the server. A failure does not end it: it reports and waits for the next descriptor.
//
//	Settings come from /etc/diskcast/site.json, which mkimage wrote, and from the kernel command line:
//	diskcast.server=https://HOST:PORT diskcast.pin=sha256:HEX diskcast.debug BOOTIF=MAC
//	diskcast.vlan=ID diskcast.bond=MODE:NIC,NIC diskcast.ip=ADDRESS::GATEWAY:NETMASK::NIC:none:DNS
//	diskcast.watchdog=SECONDS|off diskcast.screen=off
//
// Options, all for trying it out on a machine that is not a node:
//
//	-site FILE     read the settings there
//	-cmdline FILE  read the kernel command line there
//	-no-network    leave the network as it is
//	-no-boot       never restart the machine, and leave its name servers alone
//	-disk PATH     offer only this disk, which may be a regular file; may be given several times
//	-what-boots PATH
//	               say what a machine with UEFI, and one with a BIOS, would start from this disk or regular file, and
//	               do nothing else; for root, as it mounts
//	-passphrase-file FILE
//	               with -what-boots: type its first line where a boot loader asks for a passphrase
//
// Example:
//
//	agent -site site.json -no-network -no-boot -disk /tmp/disk.img
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintf(os.Stderr, "agent: %v\n", err)
		os.Exit(1)
	}
}
