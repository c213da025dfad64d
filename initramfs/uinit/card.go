package main

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/vishvananda/netlink"

	"github.com/diskcast/diskcast/internal/kmod"
)

// card is the network card that the node booted from. It is switched on as soon as there is one: links take seconds to
// come up, and the agent, which needs it, starts behind all drivers.
type card struct {
	mac   string // as sysfs writes it; empty: nobody said
	sys   string // /sys/class/net
	setUp func(name string) error
	log   *slog.Logger
	done  atomic.Bool
}

// bootCard reads BOOTIF of the kernel's command line: 01, which is Ethernet's number in ARP, and the address.
func bootCard(bootif string) string {
	mac, ok := strings.CutPrefix(strings.ToLower(bootif), "01-")
	if !ok {
		return ""
	}
	return strings.ReplaceAll(mac, "-", ":")
}

// look switches the card on, if it is there now.
func (c *card) look() {
	if c.mac == "" || c.done.Load() {
		return
	}
	names, _ := filepath.Glob(filepath.Join(c.sys, "*", "address")) // the pattern is well formed
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil || strings.TrimSpace(string(text)) != c.mac || c.done.Swap(true) {
			continue
		}
		nic := filepath.Base(filepath.Dir(name))
		if err := c.setUp(nic); err != nil {
			c.log.Warn("the card that the node booted from is not switched on yet", "nic", nic, "err", err)
		}
		return
	}
}

// looking is the kernel that modules are loaded into: after each the card is looked for.
type looking struct {
	kmod.Kernel
	card *card
}

func (l looking) Init(file fs.File, params string) error {
	err := l.Kernel.Init(file, params)
	l.card.look()
	return err
}

// setUp switches a network interface on.
func setUp(name string) error {
	l, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetUp(l)
	}
	if err != nil {
		return fmt.Errorf("switching %s on: %w", name, err)
	}
	return nil
}
