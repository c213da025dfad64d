package session

import (
	"fmt"
	"path"
	"strings"
)

// Disk is one whole block device of a node.
type Disk struct {
	Path       string `json:"path"` // /dev/vda: a name that the kernel gives anew at each start
	Size       int64  `json:"size"` // bytes
	SectorSize int    `json:"sector_size"`
	Model      string `json:"model,omitempty"`
	Serial     string `json:"serial,omitempty"`
	WWN        string `json:"wwn,omitempty"`      // as the kernel writes it: naa.5000c500..., eui.0025..., nvme....
	Bus        string `json:"bus,omitempty"`      // nvme, usb, ata, scsi, virtio, mmc, xen
	BusPath    string `json:"bus_path,omitempty"` // where it is plugged in, as udev's by-path: pci-0000:00:1f.2-ata-1
	Rotational bool   `json:"rotational"`
	ReadOnly   bool   `json:"read_only"`
	Removable  bool   `json:"removable"`
	HCTL       string `json:"hctl,omitempty"` // SCSI host, channel, target and LUN as the kernel counts them: 0:2:1:0
	// Unfit is why no rule may mean it; empty for a disk.
	Unfit string `json:"unfit,omitempty"`
}

// BusUSB is Disk.Bus of what is behind USB.
const BusUSB = "usb"

// Loose reports whether the disk is one that people plug in and carry away: it is chosen only by a rule that names it.
func (d *Disk) Loose() bool { return d.Removable || d.Bus == BusUSB }

// SameMedium reports whether two disks of a node may be one by two paths: all that they say of themselves agrees, and
// with it a WWN that is none of a maker's fillers. Twins with one WWN look the same.
func (d *Disk) SameMedium(o *Disk) bool {
	return d.Path != o.Path && d.Size == o.Size && d.SectorSize == o.SectorSize && d.Model == o.Model &&
		d.Serial == o.Serial && !Filler(trimmed(BareWWN(d.WWN), "uuid.", "nvme.")) && BareWWN(d.WWN) == BareWWN(o.WWN)
}

// DiskID is all that is known of a disk and does not change while it stays where it is: size, WWN (of an NVMe
// namespace, the kernel's name with its id), serial, model and the place on the bus.
type DiskID struct {
	WWN     string `json:"wwn,omitempty"`
	Serial  string `json:"serial,omitempty"`
	Model   string `json:"model,omitempty"`
	BusPath string `json:"bus_path,omitempty"`
	Size    int64  `json:"size"`           // bytes
	Path    string `json:"path,omitempty"` // what it was called when it was chosen; for people
}

// ID returns what is known of the disk for ever.
func (d *Disk) ID() DiskID {
	return DiskID{WWN: d.WWN, Serial: d.Serial, Model: d.Model, BusPath: d.BusPath, Size: d.Size, Path: d.Path}
}

// Is reports whether d is the disk.
func (id *DiskID) Is(d *Disk) bool { return id.Differs(d) == "" }

// Differs says in what d is another disk; empty when it is this one. All that is known must agree: makers have given
// several disks one serial or one WWN, and then the place tells them apart. A disk that is moved is another one, since
// its twin could be where it was.
func (id *DiskID) Differs(d *Disk) string {
	switch {
	case id.Size != d.Size:
		return "another size"
	case id.WWN != d.WWN:
		return "another wwn"
	case id.Serial != d.Serial:
		return "another serial"
	case id.Model != d.Model:
		return "another model"
	case id.BusPath != d.BusPath:
		return "another place"
	case id.isFile() && id.Path != d.Path:
		return "another file"
	}
	return ""
}

// Unique reports whether the disk can be told from another one after the node's next start.
func (id *DiskID) Unique() bool {
	return id.isFile() || !Filler(trimmed(BareWWN(id.WWN), "uuid.", "nvme.")) || !Filler(id.Serial) || id.BusPath != ""
}

// isFile reports whether it is a file in the place of a disk, whose path does not change.
func (id *DiskID) isFile() bool { return id.Path != "" && !strings.HasPrefix(id.Path, "/dev/") }

// Words name the disk for an operator.
func (id *DiskID) Words() string {
	w := []string{fmt.Sprintf("%d bytes", id.Size)}
	for _, x := range []struct{ name, v string }{{"", id.Model}, {"serial ", id.Serial}, {"wwn ", id.WWN},
		{"at ", id.BusPath}} {
		if x.v != "" {
			w = append(w, x.name+x.v)
		}
	}
	if id.Path != "" {
		return "the disk that was " + id.Path + " (" + strings.Join(w, ", ") + ")"
	}
	return "the disk of " + strings.Join(w, ", ")
}

// DiskChoice is POST /v1/node/{node}/disk and its answer: the disk that the node's first plan in the session chose.
// What was chosen before wins; the node goes by the answer.
type DiskChoice struct {
	V       int    `json:"v"`
	Session string `json:"session"`
	Disk    DiskID `json:"disk"`
	// Of is which of the session's disks it is chosen as, counted from 0.
	Of int `json:"of,omitempty"`
}

func (c *DiskChoice) version() int { return c.V }

func (c *DiskChoice) check() error {
	switch {
	case c.Session == "" || c.Disk.Size <= 0:
		return fmt.Errorf("disk choice: session or size of the disk is missing")
	case c.Of < 0 || c.Of >= MaxDisks:
		return fmt.Errorf("disk choice: a session has no disk %d", c.Of)
	}
	return nil
}

// Types of Target.
const (
	TypeNVMe = "nvme"
	TypeSSD  = "ssd" // does not rotate, NVMe among them
	TypeHDD  = "hdd" // rotates
	TypeUSB  = "usb"
)

// Target says which disk to write, or to read. Every rule given must hold; exactly one disk must be left. Removable and
// USB disks count only for a rule that names them: by path, serial, WWN, place, model or type usb.
type Target struct {
	Path     string `json:"path,omitempty"`     // what the kernel calls it when the first plan is made
	ByPath   string `json:"by_path,omitempty"`  // Disk.BusPath; * and ? stand for what may vary
	Serial   string `json:"serial,omitempty"`   // or the WWN
	WWN      string `json:"wwn,omitempty"`      //
	Model    string `json:"model,omitempty"`    // * and ? stand for what may vary, case does not count
	Type     string `json:"type,omitempty"`     // one of the types, or one with ! before it: any other
	MinSize  int64  `json:"min_size,omitempty"` // bytes
	MaxSize  int64  `json:"max_size,omitempty"` // bytes
	Smallest bool   `json:"smallest,omitempty"` // of those for which the rest holds
	Largest  bool   `json:"largest,omitempty"`
	First    bool   `json:"first,omitempty"` // by place, of those for which all else holds
	HCTL     string `json:"hctl,omitempty"`  // Disk.HCTL; * and ? stand for what may vary
}

// Names reports whether the rule names a disk, so that a removable one may be meant.
func (t *Target) Names() bool {
	return t.Path != "" || t.ByPath != "" || t.Serial != "" || t.WWN != "" || t.Model != "" || t.HCTL != "" ||
		t.Type == TypeUSB
}

// Check says what cannot be meant by the rule.
func (t *Target) Check() error {
	switch {
	case t.MinSize < 0 || t.MaxSize < 0 || (t.MaxSize != 0 && t.MaxSize < t.MinSize):
		return fmt.Errorf("size class %d-%d is empty", t.MinSize, t.MaxSize)
	case t.Path != "" && !strings.HasPrefix(t.Path, "/dev/"):
		return fmt.Errorf("path %q is not under /dev", t.Path)
	case t.Smallest && t.Largest:
		return fmt.Errorf("one disk cannot be the smallest and the largest")
	}
	switch strings.TrimPrefix(t.Type, "!") {
	case "", TypeNVMe, TypeSSD, TypeHDD, TypeUSB:
	default:
		return fmt.Errorf("type %q is none of nvme, ssd, hdd, usb, nor one of them with ! before it", t.Type)
	}
	if t.Type == "!" {
		return fmt.Errorf("type %q says not which", t.Type)
	}
	for _, pattern := range []string{t.ByPath, t.Model, t.HCTL} {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("pattern %q: %w", pattern, err)
		}
	}
	return nil
}
