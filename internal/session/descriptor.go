package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/diskcast/diskcast/internal/rx"
)

// Actions of a descriptor.
const (
	Restore = "restore" // receive an image, write it to the target disk, boot it
	Capture = "capture" // read a disk, upload it as an image
	Idle    = "idle"    // stay reachable and wait for the next descriptor
)

// Descriptor tells one node its part in a session: GET /v1/node/{node}/descriptor.
type Descriptor struct {
	V       int    `json:"v"`
	Session string `json:"session"`
	Node    string `json:"node"`
	// Name is what the operator calls the machine; empty where he has not said it. It is for people.
	Name string `json:"name,omitempty"`
	// Serial grows with every descriptor that the server writes for the node; the node asks for a newer one with
	// ?after=.
	Serial uint64  `json:"serial"`
	Action string  `json:"action"`
	Image  *Image  `json:"image,omitempty"`
	Cast   *Cast   `json:"cast,omitempty"`
	Target *Target `json:"target,omitempty"`
	// Disk is the disk that the node's first plan in this session chose; the session touches no other. nil before that
	// plan.
	Disk *DiskID `json:"disk,omitempty"`
	// MoreDisks are, of RestoreDisks, the disks after the first, and what goes to each. Image, Cast, Target and Disk
	// are the first one's, which the machine starts from; all else is of all.
	MoreDisks []MoreDisk `json:"more_disks,omitempty"`
	// Mode is full, delta or auto. Delta hashes what is on the disk and receives only what differs;
	// auto does so when the disk already carries the partition table that the plan would write.
	Mode   string `json:"mode,omitempty"`
	Verify bool   `json:"verify,omitempty"` // read back and hash every chunk after writing
	// NoGrow leaves the last partition and its file system as they were on the source, although the disk is larger.
	NoGrow bool `json:"no_grow,omitempty"`
	// Personalize has the node ask for what is its own, once its disk is written, verified and grown, and write it into
	// the restored system. A part that has it is not done without it.
	Personalize bool `json:"personalize,omitempty"`
	// Upload says what a capture makes of the disk; Target is then the disk that is read.
	Upload *Upload `json:"upload,omitempty"`
	Boot   *Boot   `json:"boot,omitempty"`
	// Why is, of Idle, what the node waits for and what ends that; the node says it on its console.
	Why string `json:"why,omitempty"`
	// Look is, of Idle, what the node is asked to look at.
	Look *Look `json:"look,omitempty"`
	// Menu is, of Idle, what somebody at the node's console may choose.
	Menu *Menu `json:"menu,omitempty"`
	// Job is what only the action knows of. One that has a Job may be an action that this package does not name.
	Job json.RawMessage `json:"job,omitempty"`
}

// Modes of a restore.
const (
	Auto  = "auto"
	Full  = "full"
	Delta = "delta"
)

// Image names an image and the blobs that a node fetches before the plan can be checked.
type Image struct {
	Name     string `json:"name"`     // as the operator calls it
	Manifest string `json:"manifest"` // sha256:...
	Config   Blob   `json:"config"`
	Index    Blob   `json:"index"`
	// ObjectSize is the length, in bytes, of the object that the cast moves and that
	// GET /v1/objects/{manifest digest} serves with ranges: the image's frames in index order.
	ObjectSize int64 `json:"object_size"`
}

// Blob is a blob of the server's store: GET /v1/blobs/{digest}, with ranges.
type Blob struct {
	Digest string `json:"digest"` // sha256:...
	Size   int64  `json:"size"`   // bytes
}

// Cast is what a receiver must know of a cast: docs/cast-protocol.md.
type Cast struct {
	ID       uint32         `json:"id"`
	Group    netip.AddrPort `json:"group"`    // multicast group and UDP port
	Feedback netip.AddrPort `json:"feedback"` // where the sender listens for state reports
	Key      []byte         `json:"key"`      // 32 bytes, base64 in JSON
	Sender   []byte         `json:"sender"`   // public keys of the sender, 64 bytes, base64 in JSON
	Size     int64          `json:"size"`     // object size, bytes
	Payload  int            `json:"payload"`  // source bytes a packet
	K        int            `json:"k"`        // source packets a block
}

// Upload is an image on its way from a node to the server: /v1/node/{node}/captures/{id}.
type Upload struct {
	ID    string `json:"id"`
	Name  string `json:"name"`  // that the image gets
	Level string `json:"level"` // of compression: fast, default or small
	Grid  int64  `json:"grid"`  // bytes of a cell at the least; image.GridFor the disk where that is more
	// DropGaps leaves out what lies in no partition, except where boot loaders are by custom.
	DropGaps bool `json:"drop_gaps,omitempty"`
}

// Methods of Boot.
const (
	BootKexec    = "kexec"    // kexec into the restored system; reboot to disk where that is impossible
	BootReboot   = "reboot"   // restart through firmware
	BootPoweroff = "poweroff" // switch off
	BootStay     = "stay"     // stay in the network userland
	// BootShell gives a shell on the machine that was restored; once that is closed, it leaves as BootKexec.
	BootShell = "shell"
)

// Boot says how the node leaves the network userland.
type Boot struct {
	Method string `json:"method"`
	Append string `json:"append,omitempty"` // added to the restored system's kernel command line
	// Shell is, of BootShell, who may come in and for how long: internal/rescue's Spec.
	Shell json.RawMessage `json:"shell,omitempty"`
}

func (d *Descriptor) version() int { return d.V }
func (d *Descriptor) check() error { return d.Validate() }

// Validate says what is wrong with the descriptor, naming the field. The server asks before it sends one, the node
// before it follows one: neither has rules of its own.
func (d *Descriptor) Validate() error {
	if d.V != Version {
		return fmt.Errorf("descriptor: %w: v=%d, this program speaks v=%d", ErrVersion, d.V, Version)
	}
	switch d.Action {
	case Idle:
		if d.Look != nil {
			if err := d.Look.check(); err != nil {
				return err
			}
		}
		if d.Menu != nil {
			return d.Menu.check()
		}
		return nil
	case Restore, Capture:
	default:
		if len(d.Job) == 0 || d.Action == "" {
			return fmt.Errorf("descriptor: unknown action %q", d.Action)
		}
	}
	if d.Session == "" {
		return fmt.Errorf("descriptor: no session")
	}
	if d.Target == nil {
		return fmt.Errorf("descriptor: no target rule")
	}
	if err := d.Target.Check(); err != nil {
		return fmt.Errorf("target: %w", err)
	}
	if err := d.checkDisks(); err != nil {
		return err
	}
	if d.OfPartition() {
		if _, err := ParsePartitionJob(d.Job); err != nil {
			return fmt.Errorf("descriptor: %w", err)
		}
	}
	switch {
	case restores(d.Action):
	case captures(d.Action):
		if err := d.Upload.check(); err != nil {
			return err
		}
		return d.checkBoot()
	default:
		return d.checkBoot()
	}
	switch d.Mode {
	case "", Auto, Full, Delta:
	default:
		return fmt.Errorf("descriptor: unknown mode %q", d.Mode)
	}
	if err := checkObject(d.Image, d.Cast); err != nil {
		return err
	}
	return d.checkBoot()
}

func (d *Descriptor) checkBoot() error {
	if d.Boot == nil {
		return nil
	}
	if len(d.Boot.Shell) > 0 && d.Boot.Method != BootShell {
		return fmt.Errorf("descriptor: boot: a shell goes with the method shell, and with %s there is none",
			d.Boot.Method)
	}
	switch d.Boot.Method {
	case BootReboot, BootPoweroff, BootStay:
	case BootShell:
		if !restores(d.Action) {
			return fmt.Errorf("descriptor: the method shell is of a restore, whose machine starts once the shell is "+
				"closed; the action %s has none", d.Action)
		}
		if len(d.Boot.Shell) == 0 {
			return errors.New("descriptor: boot: the method shell without shell, which says who may come in")
		}
	case BootKexec:
		if !restores(d.Action) {
			return fmt.Errorf("descriptor: the action %s restores nothing that kexec could start", d.Action)
		}
	default:
		return fmt.Errorf("descriptor: unknown boot method %q: kexec, reboot, poweroff, stay or shell", d.Boot.Method)
	}
	return nil
}

func (u *Upload) check() error {
	switch {
	case u == nil:
		return fmt.Errorf("descriptor: a capture without upload")
	case !uploadID().MatchString(u.ID):
		return fmt.Errorf("upload: id %q", u.ID)
	case u.Name == "":
		return fmt.Errorf("upload: no name for the image")
	case u.Level != "fast" && u.Level != "default" && u.Level != "small":
		return fmt.Errorf("upload: level %q is none of fast, default, small", u.Level)
	case u.Grid < 64<<10 || u.Grid > 64<<20 || u.Grid&(u.Grid-1) != 0:
		return fmt.Errorf("upload: grid of %d bytes is not a power of two in 64 KiB..64 MiB", u.Grid)
	}
	return nil
}

var uploadID = rx.New(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

func (i *Image) check() error {
	if i.Manifest == "" || i.Config.Digest == "" || i.Index.Digest == "" {
		return fmt.Errorf("image %q: a digest is missing", i.Name)
	}
	if i.ObjectSize < 0 || i.Config.Size <= 0 || i.Index.Size <= 0 {
		return fmt.Errorf("image %q: a size is out of range", i.Name)
	}
	return nil
}

func (c *Cast) check() error {
	switch {
	case !c.Group.IsValid() || !c.Group.Addr().IsMulticast() || c.Group.Port() == 0:
		return fmt.Errorf("cast: group %v is not a multicast address and port", c.Group)
	case !c.Feedback.IsValid() || c.Feedback.Addr().IsMulticast() || c.Feedback.Port() == 0:
		return fmt.Errorf("cast: feedback %v is not a unicast address and port", c.Feedback)
	case len(c.Key) != 32:
		return fmt.Errorf("cast: key has %d bytes, not 32", len(c.Key))
	case len(c.Sender) != 64:
		return fmt.Errorf("cast: public keys of the sender have %d bytes, not 64", len(c.Sender))
	case !slices.ContainsFunc(c.Sender, func(b byte) bool { return b != 0 }):
		return fmt.Errorf("cast: no public keys of the sender")
	case c.Size < 0:
		return fmt.Errorf("cast: size %d", c.Size)
	case c.Payload < 64 || c.Payload > 65000 || c.Payload%64 != 0:
		return fmt.Errorf("cast: payload of %d bytes is not a multiple of 64 in 64..65000", c.Payload)
	case c.K < 1 || c.K > 128:
		return fmt.Errorf("cast: %d source packets a block, not 1..128", c.K)
	case (c.Size-1)/(int64(c.Payload)*int64(c.K)) >= 1<<32-1:
		return fmt.Errorf("cast: object of %d bytes has more than 2^32-1 blocks", c.Size)
	}
	return nil
}
