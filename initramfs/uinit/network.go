package main

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/u-root/u-root/pkg/cmdline"
)

// nicLimit is how long the agent's start waits for a network card. A USB card takes seconds to appear; a machine whose card has no
// driver will never have it, and then the agent can say so better.
const nicLimit = 20 * time.Second

// bootMAC is the card that the machine booted from: BOOTIF=01-aa-bb-cc-dd-ee-ff, 01 being ARP's number for Ethernet.
func bootMAC() string {
	bootif, _ := cmdline.Flag("BOOTIF")
	return macOf(bootif)
}

func macOf(bootif string) string {
	if len(bootif) == len("01-aa-bb-cc-dd-ee-ff") {
		bootif = bootif[3:]
	}
	mac, err := net.ParseMAC(strings.ReplaceAll(bootif, "-", ":"))
	if err != nil {
		return ""
	}
	return mac.String()
}

// waitForNIC waits for the card with the address mac, or for any card if it is empty. changed tells when to look again.
func waitForNIC(ctx context.Context, log *slog.Logger, mac string, changed <-chan struct{}) {
	limit := time.After(nicLimit)
	for {
		name, others := findNIC(mac)
		if name != "" {
			log.Info("network card", "name", name, "mac", mac)
			return
		}
		select {
		case _, more := <-changed:
			if !more {
				return
			}
		case <-limit:
			log.Error("the network card that the node booted from has not appeared: is its driver in the archive (mkimage --modules), does it need firmware (mkimage --firmware)?",
				"mac", mac, "others", strings.Join(others, " "))
			return
		case <-ctx.Done():
			return
		}
	}
}

func findNIC(mac string) (name string, others []string) {
	list, err := net.Interfaces()
	if err != nil {
		return "", nil
	}
	for _, i := range list {
		if i.Flags&net.FlagLoopback != 0 || len(i.HardwareAddr) == 0 {
			continue
		}
		if mac == "" || i.HardwareAddr.String() == mac {
			return i.Name, nil
		}
		others = append(others, i.Name+"="+i.HardwareAddr.String())
	}
	return "", others
}
