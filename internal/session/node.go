package session

import "fmt"

// Hello is the first thing a node says: POST /v1/node/hello.
type Hello struct {
	V int `json:"v"`
	// Boot is random for each boot of the node, so that the server can tell a reboot from a repeated hello.
	Boot string `json:"boot"`
	// Agent is the version of the agent program.
	Agent     string    `json:"agent"`
	Inventory Inventory `json:"inventory"`
}

func (h *Hello) version() int { return h.V }

func (h *Hello) check() error {
	if h.Boot == "" {
		return fmt.Errorf("hello has no boot id")
	}
	if len(h.Inventory.NICs) == 0 {
		return fmt.Errorf("hello names no NIC")
	}
	return nil
}

// HelloReply tells the node who it is: the answer to Hello.
type HelloReply struct {
	V int `json:"v"`
	// Node is the server's name for the node, the same at every boot.
	Node string `json:"node"`
	// Token is the bearer token for every further request of this boot.
	Token string `json:"token"`
}

func (h *HelloReply) version() int { return h.V }

func (h *HelloReply) check() error {
	if h.Node == "" || h.Token == "" {
		return fmt.Errorf("hello reply lacks node or token")
	}
	return nil
}

// Firmware kinds.
const (
	BIOS = "bios"
	UEFI = "uefi"
)

// NoCard is what a node says on its console that has no network card, and so will never say hello.
const NoCard = "this node has no network card that its kernel knows"

// Inventory is what a node found out about its own hardware. Sizes are in bytes.
type Inventory struct {
	UUID       string `json:"uuid,omitempty"`   // DMI system UUID, lower case
	Serial     string `json:"serial,omitempty"` // DMI system serial
	Vendor     string `json:"vendor,omitempty"`
	Product    string `json:"product,omitempty"`
	Firmware   string `json:"firmware"` // BIOS or UEFI
	SecureBoot bool   `json:"secure_boot"`
	Lockdown   string `json:"lockdown,omitempty"` // none, integrity or confidentiality
	Kernel     string `json:"kernel,omitempty"`   // release of the running kernel
	CPUs       int    `json:"cpus,omitempty"`
	Memory     int64  `json:"memory"`
	Disks      []Disk `json:"disks"`
	NICs       []NIC  `json:"nics"`
	// Undriven names controllers of disks and network cards that the node's kernel has no driver for, in words.
	Undriven []string `json:"undriven,omitempty"`
	// Problem is what is wrong with the node itself, in words: its archive did not fit into its memory.
	Problem string `json:"problem,omitempty"`
	// Crashed says of what the machine died before this start, in words: its kernel's last words are in the log.
	Crashed string `json:"crashed,omitempty"`
	// Starts is what the firmware starts when the network starts nothing; nil where that is not known, and by BIOS.
	Starts *Starts `json:"starts,omitempty"`
	// Survey is what is on the disks. The node says hello first and looks then, so that it may be nil.
	Survey *Survey `json:"survey,omitempty"`
	// Hardware is what the kernel needs drivers and firmware for; nil where an older agent does not say it, or where it
	// was too much.
	Hardware *Hardware `json:"hardware,omitempty"`
}

// Starts is what UEFI firmware starts of a machine's own disks.
type Starts struct {
	// Partition is the partition's GUID (of a DOS table: the disk's signature and the number), File the program on it,
	// with slashes.
	Partition string `json:"partition,omitempty"`
	File      string `json:"file,omitempty"`
	// Firmware says why that is left to the firmware; empty when a boot loader may start the program in its place.
	Firmware string `json:"firmware,omitempty"`
	// After is StartsAfterPXE or StartsAfterHTTP where the firmware goes on with this as soon as that way into the
	// network fails, by IPv4 and the card that the machine came by: no other stands between. Else empty.
	After string `json:"after,omitempty"`
}

// Ways into the network that a machine's own disk comes right behind.
const (
	StartsAfterPXE  = "pxe"
	StartsAfterHTTP = "http"
)

// NIC is one network interface of a node.
type NIC struct {
	Name   string   `json:"name"`
	MAC    string   `json:"mac"` // lower case, colons
	Driver string   `json:"driver,omitempty"`
	Up     bool     `json:"up"`              // carrier
	Mbps   int      `json:"mbps,omitempty"`  // link speed, 0 when unknown
	Addrs  []string `json:"addrs,omitempty"` // CIDR
	MTU    int      `json:"mtu,omitempty"`
	Boot   bool     `json:"boot"` // the node booted from this one
	// Switch and Port are where it is plugged in, by the word of the switch (LLDP); empty where that is not known.
	Switch string `json:"switch,omitempty"`
	Port   string `json:"port,omitempty"`
}
