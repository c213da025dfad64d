package record

import (
	"encoding/json"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// Node is a machine as it was seen on the network.
type Node struct {
	ID         string            `json:"id"`
	MACs       []string          `json:"macs"`
	Where      string            `json:"where"`
	Addr       string            `json:"addr,omitempty"`
	Agent      string            `json:"agent,omitempty"`
	Session    string            `json:"session,omitempty"`
	Last       string            `json:"last,omitempty"`
	Imaged     bool              `json:"imaged,omitempty"`
	FirstSeen  time.Time         `json:"first_seen"`
	LastSeen   time.Time         `json:"last_seen"`
	Problem    string            `json:"problem,omitempty"`
	Relay      string            `json:"relay,omitempty"`
	Trace      map[string]Mark   `json:"trace,omitempty"`
	Inventory  Inventory         `json:"inventory"`
	Boot       string            `json:"boot"`
	Serial     uint64            `json:"serial"` // of the last descriptor
	Descriptor *Descriptor       `json:"descriptor,omitempty"`
	First      DMI               `json:"first,omitzero"` // what its first hello said
	Odd        map[string]string `json:"odd,omitempty"`  // words, by kind
	Rivals     []Rival           `json:"rivals,omitempty"`
	Claim      *Claim            `json:"claim,omitempty"`
	Booted     bool              `json:"booted,omitempty"` // it fetched a kernel here
	Worked     bool              `json:"worked,omitempty"` // it reported a step of a session
	Surveyed   time.Time         `json:"surveyed,omitzero"`
	Chosen     *Chosen           `json:"chosen,omitempty"` // at its console, for its next start
}

// Chosen is what somebody at a node's console chose for its next start.
type Chosen struct {
	Entry string    `json:"entry"`
	At    time.Time `json:"at"`
}

// DMI is what firmware says of a machine.
type DMI struct {
	UUID   string `json:"uuid,omitempty"`
	Serial string `json:"serial,omitempty"`
}

// Rival is a boot of the node that another one took the place of.
type Rival struct {
	Boot    string          `json:"boot"`
	Addr    string          `json:"addr,omitempty"`
	Heard   time.Time       `json:"heard"`
	Seen    Window          `json:"seen"`
	Session string          `json:"session,omitempty"`
	Step    string          `json:"step,omitempty"`
	Steps   map[string]Mark `json:"steps,omitempty"`
}

// Claim is the end of a part that does not count yet.
type Claim struct {
	Session string `json:"session"`
	Boot    string `json:"boot"`
}

// Window is which event numbers of a boot were seen: all up to Low, and those in Above.
type Window struct {
	Low   uint64          `json:"low"`
	Above map[uint64]bool `json:"above,omitempty"`
}

// Seen is the window of the node's present boot.
type Seen struct {
	Boot string `json:"boot"`
	Window
}

// Inventory is what a node found out about its hardware. Sizes are in bytes.
type Inventory struct {
	UUID       string    `json:"uuid,omitempty"`
	Serial     string    `json:"serial,omitempty"`
	Vendor     string    `json:"vendor,omitempty"`
	Product    string    `json:"product,omitempty"`
	Firmware   string    `json:"firmware"`
	SecureBoot bool      `json:"secure_boot"`
	Lockdown   string    `json:"lockdown,omitempty"`
	Kernel     string    `json:"kernel,omitempty"`
	CPUs       int       `json:"cpus,omitempty"`
	Memory     int64     `json:"memory"`
	Disks      []Disk    `json:"disks"`
	NICs       []NIC     `json:"nics"`
	Undriven   []string  `json:"undriven,omitempty"`
	Problem    string    `json:"problem,omitempty"`
	Crashed    string    `json:"crashed,omitempty"`
	Starts     *Starts   `json:"starts,omitempty"`
	Survey     *Survey   `json:"survey,omitempty"`
	Hardware   *Hardware `json:"hardware,omitempty"`
}

// Hardware is what a machine needs drivers and firmware for.
type Hardware struct {
	Devices  []Device `json:"devices"`
	Firmware []string `json:"firmware,omitempty"`
	More     int      `json:"more,omitempty"`
}

// Device is one of them.
type Device struct {
	Alias  string `json:"alias,omitempty"`
	Driver string `json:"driver,omitempty"`
	Module string `json:"module,omitempty"`
}

func ofHardware(h session.Hardware) Hardware {
	return Hardware{Firmware: h.Firmware, More: h.More,
		Devices: each(h.Devices, func(d session.Device) Device { return Device(d) })}
}

func (h Hardware) hardware() session.Hardware {
	return session.Hardware{Firmware: h.Firmware, More: h.More,
		Devices: each(h.Devices, func(d Device) session.Device { return session.Device(d) })}
}

// Starts is what a machine's firmware starts of its own disks.
type Starts struct {
	Partition string `json:"partition,omitempty"`
	File      string `json:"file,omitempty"`
	Firmware  string `json:"firmware,omitempty"`
	After     string `json:"after,omitempty"`
}

// Disk is a disk of a node.
type Disk struct {
	Path       string `json:"path"`
	Size       int64  `json:"size"`
	SectorSize int    `json:"sector_size"`
	Model      string `json:"model,omitempty"`
	Serial     string `json:"serial,omitempty"`
	WWN        string `json:"wwn,omitempty"`
	Bus        string `json:"bus,omitempty"`
	BusPath    string `json:"bus_path,omitempty"`
	Rotational bool   `json:"rotational"`
	ReadOnly   bool   `json:"read_only"`
	Removable  bool   `json:"removable"`
	HCTL       string `json:"hctl,omitempty"`
	Unfit      string `json:"unfit,omitempty"`
}

// NIC is a network card of a node.
type NIC struct {
	Name   string   `json:"name"`
	MAC    string   `json:"mac"`
	Driver string   `json:"driver,omitempty"`
	Up     bool     `json:"up"`
	Mbps   int      `json:"mbps,omitempty"`
	Addrs  []string `json:"addrs,omitempty"`
	MTU    int      `json:"mtu,omitempty"`
	Boot   bool     `json:"boot"`
	Switch string   `json:"switch,omitempty"`
	Port   string   `json:"port,omitempty"`
}

// Descriptor is what the node was told last.
type Descriptor struct {
	V       int     `json:"v"`
	Session string  `json:"session"`
	Node    string  `json:"node"`
	Name    string  `json:"name,omitempty"`
	Serial  uint64  `json:"serial"`
	Action  string  `json:"action"`
	Image   *Image  `json:"image,omitempty"`
	Cast    *Cast   `json:"cast,omitempty"`
	Target  *Target `json:"target,omitempty"`
	Disk    *DiskID `json:"disk,omitempty"`
	Mode    string  `json:"mode,omitempty"`
	Verify  bool    `json:"verify,omitempty"`
	NoGrow  bool    `json:"no_grow,omitempty"`
	Upload  *Upload `json:"upload,omitempty"`
	Boot    *Boot   `json:"boot,omitempty"`
	Why     string  `json:"why,omitempty"`
	// Personalize: the node asks for what is its own.
	Personalize bool            `json:"personalize,omitempty"`
	Job         json.RawMessage `json:"job,omitempty"`
	MoreDisks   []MoreDisk      `json:"more_disks,omitempty"`
}

// MoreDisk is what the node was told of a further disk.
type MoreDisk struct {
	Image  Image   `json:"image"`
	Cast   *Cast   `json:"cast,omitempty"`
	Target Target  `json:"target"`
	Disk   *DiskID `json:"disk,omitempty"`
}

func ofMoreDisk(m session.MoreDisk) MoreDisk {
	return MoreDisk{ofImage(m.Image), to(m.Cast, func(c session.Cast) Cast { return Cast(c) }), Target(m.Target),
		to(m.Disk, ofDiskID)}
}

func (m MoreDisk) disk() session.MoreDisk {
	return session.MoreDisk{Image: m.Image.image(), Cast: to(m.Cast,
		func(c Cast) session.Cast { return session.Cast(c) }),
		Target: session.Target(m.Target), Disk: to(m.Disk, DiskID.disk)}
}

// OfNode is the record of what is shown of a node, and of its descriptor; the caller fills in the rest.
func OfNode(n *doc.Node, d *session.Descriptor) *Node {
	return &Node{ID: n.ID, MACs: n.MACs, Where: n.Where, Addr: n.Addr, Agent: n.Agent, Session: n.Session, Last: n.Last,
		Imaged:    n.Imaged,
		FirstSeen: n.FirstSeen, LastSeen: n.LastSeen, Problem: n.Problem, Relay: n.Relay, Trace: OfMarks(n.Trace),
		Inventory: ofInventory(n.Inventory), Surveyed: n.Surveyed,
		Descriptor: to(d, ofDescriptor)}
}

// Node is what is shown of the node that the record is of.
func (r *Node) Node() doc.Node {
	return doc.Node{ID: r.ID, MACs: r.MACs, Where: r.Where, Addr: r.Addr, Agent: r.Agent, Session: r.Session,
		Last: r.Last, Imaged: r.Imaged,
		FirstSeen: r.FirstSeen, LastSeen: r.LastSeen, Problem: r.Problem, Relay: r.Relay, Trace: Marks(r.Trace),
		Inventory: r.Inventory.inventory(), Surveyed: r.Surveyed}
}

// Told is what the node was told last, nil for nothing.
func (r *Node) Told() *session.Descriptor { return to(r.Descriptor, Descriptor.descriptor) }

func ofInventory(i session.Inventory) Inventory {
	return Inventory{UUID: i.UUID, Serial: i.Serial, Vendor: i.Vendor, Product: i.Product, Firmware: i.Firmware,
		SecureBoot: i.SecureBoot,
		Lockdown:   i.Lockdown, Kernel: i.Kernel, CPUs: i.CPUs, Memory: i.Memory, Undriven: i.Undriven,
		Problem: i.Problem, Crashed: i.Crashed, Survey: to(i.Survey, ofSurvey), Hardware: to(i.Hardware, ofHardware),
		Starts: to(i.Starts, func(s session.Starts) Starts { return Starts(s) }),
		Disks:  each(i.Disks, func(d session.Disk) Disk { return Disk(d) }),
		NICs:   each(i.NICs, func(n session.NIC) NIC { return NIC(n) })}
}

func (i Inventory) inventory() session.Inventory {
	return session.Inventory{UUID: i.UUID, Serial: i.Serial, Vendor: i.Vendor, Product: i.Product, Firmware: i.Firmware,
		SecureBoot: i.SecureBoot,
		Lockdown:   i.Lockdown, Kernel: i.Kernel, CPUs: i.CPUs, Memory: i.Memory, Undriven: i.Undriven,
		Problem: i.Problem, Crashed: i.Crashed, Survey: to(i.Survey, Survey.survey),
		Hardware: to(i.Hardware, Hardware.hardware),
		Starts:   to(i.Starts, func(s Starts) session.Starts { return session.Starts(s) }),
		Disks:    each(i.Disks, func(d Disk) session.Disk { return session.Disk(d) }),
		NICs:     each(i.NICs, func(n NIC) session.NIC { return session.NIC(n) })}
}

func ofDescriptor(d session.Descriptor) Descriptor {
	return Descriptor{V: d.V, Session: d.Session, Node: d.Node, Name: d.Name, Serial: d.Serial, Action: d.Action,
		Image:  to(d.Image, ofImage),
		Cast:   to(d.Cast, func(c session.Cast) Cast { return Cast(c) }),
		Target: to(d.Target, func(t session.Target) Target { return Target(t) }), Disk: to(d.Disk, ofDiskID),
		Mode: d.Mode, Verify: d.Verify,
		NoGrow: d.NoGrow, Upload: to(d.Upload, func(u session.Upload) Upload { return Upload(u) }),
		Boot: to(d.Boot, ofBoot), Why: d.Why, Personalize: d.Personalize, Job: d.Job,
		MoreDisks: each(d.MoreDisks, ofMoreDisk)}
}

func (d Descriptor) descriptor() session.Descriptor {
	return session.Descriptor{V: d.V, Session: d.Session, Node: d.Node, Name: d.Name,
		Serial: d.Serial, Action: d.Action,
		Image:  to(d.Image, Image.image),
		Cast:   to(d.Cast, func(c Cast) session.Cast { return session.Cast(c) }),
		Target: to(d.Target, func(t Target) session.Target { return session.Target(t) }), Disk: to(d.Disk, DiskID.disk),
		Mode: d.Mode, Verify: d.Verify,
		NoGrow: d.NoGrow, Upload: to(d.Upload, func(u Upload) session.Upload { return session.Upload(u) }),
		Boot: to(d.Boot, Boot.boot), Why: d.Why, Personalize: d.Personalize, Job: d.Job,
		MoreDisks: each(d.MoreDisks, MoreDisk.disk)}
}
