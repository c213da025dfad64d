package bootos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/diskcast/diskcast/agent/bootos/asfile"
	"github.com/diskcast/diskcast/agent/bootos/grub"
	"github.com/diskcast/diskcast/agent/bootos/luks"
	"github.com/diskcast/diskcast/agent/imaging"
	"github.com/diskcast/diskcast/internal/plain"
)

// Key is what opens encrypted volumes that a loader asks for.
type Key struct {
	Passphrase string
	Memory     uint64 // that making a key of it may use, bytes
	Dir        string // where opened volumes are shown to the kernel
}

// keyPatience bounds the making of a volume's key. cryptsetup has headers take 2 s on the machine that makes them, for
// each key slot.
const keyPatience = 2 * time.Minute

var errKeyPatience = fmt.Errorf("it took more than %s", keyPatience)

// keyOf is nil without a passphrase.
func keyOf(passphrase, root, dir string) *Key {
	if passphrase == "" {
		return nil
	}
	return &Key{Passphrase: passphrase, Memory: available(filepath.Join(root, "proc/meminfo")) / 2, Dir: dir}
}

func (m *Machine) key(r *imaging.Result) *Key { return keyOf(r.Passphrase, m.Root, m.Dir+"-opened") }

// available is the memory that can be had without anything being pushed out, bytes; 0 where that is not known.
func available(meminfo string) uint64 {
	f, err := os.Open(meminfo)
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var kib uint64
		if n, _ := fmt.Sscanf(lines.Text(), "MemAvailable: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	return 0
}

// crypt opens an encrypted volume and makes devices of what is in it. The layer stays with the partition: until GRUB's
// configuration opens the volume, GRUB has no device of it. nested is a volume that is no partition itself, but in RAID
// or LVM.
func (a *assembly) crypt(ctx context.Context, d *Device, p part, nested bool) {
	d.Asked = true
	d.Layers = append(d.Layers, grub.Crypto)
	h, err := luks.Read(p.r, p.size)
	if err != nil {
		d.lacks(grub.Crypto, err.Error())
		return
	}
	e := grub.Encrypted{UUID: h.Plain(), Device: d.Number, Nested: nested, Why: a.others.volume(h.Plain())}
	before := len(a.made)
	if e.Why == "" {
		if e.Argon2, err = a.open(ctx, d, p, h); err != nil {
			e.Why = plain.Line(err.Error(), 300)
		}
	}
	if e.Why != "" {
		d.lacks(grub.Crypto, "it is encrypted, and was not opened: "+e.Why)
	}
	for i := before; i < len(a.made); i++ {
		a.made[i].Crypt = e.UUID
	}
	a.encrypted = append(a.encrypted, e)
}

// open opens a volume until a.undo, and tells whether its key slot goes by Argon2.
func (a *assembly) open(ctx context.Context, d *Device, p part, h *luks.Header) (argon2 bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, keyPatience, errKeyPatience)
	defer cancel()
	device, err := os.Open(d.Path)
	if err != nil {
		return false, err
	}
	a.undo = append(a.undo, func() { device.Close() })
	v, err := h.Open(ctx, io.NewSectionReader(device, p.at, p.size), []byte(a.key.Passphrase), a.key.Memory)
	debug.FreeOSMemory() // Argon2 may have taken what the kernel that is loaded next needs
	if err != nil {
		return false, err
	}
	argon2 = strings.HasPrefix(v.KDF, "argon2")
	if err := os.MkdirAll(a.key.Dir, 0o700); err != nil {
		return argon2, err
	}
	shown, err := asfile.Mount(filepath.Join(a.key.Dir, "volume-"+h.UUID), v, v.Size())
	if err != nil {
		return argon2, err
	}
	a.undo = append(a.undo, func() {
		_ = shown.Close() // its users are gone, or keep it
		_ = os.Remove(a.key.Dir)
	})
	f, err := os.Open(shown.Path)
	if err != nil {
		return argon2, err
	}
	a.undo = append(a.undo, func() { f.Close() })
	inside := part{io.NewSectionReader(f, 0, v.Size()), 0, v.Size()}
	switch l := layerOf(inside.r, inside.size); l {
	case grub.LVM:
		a.group(ctx, d, f, inside, false)
		return argon2, nil
	case "":
		return argon2, a.add(d, f, inside, Device{Name: "the encrypted volume of " + d.words(),
			GRUB: []string{"cryptouuid/" + h.Plain()}})
	default:
		return argon2, fmt.Errorf("%s in it is not read", l)
	}
}

// errTwice is said of volumes of which a disk has two.
var errTwice = errors.New("another partition has an encrypted volume of the same identity")

// dropVolumes takes out volumes that are there twice: which of them GRUB opens is not known.
func (a *assembly) dropVolumes() {
	count := map[string]int{}
	for _, e := range a.encrypted {
		count[e.UUID]++
	}
	for i := range a.encrypted {
		if e := &a.encrypted[i]; count[e.UUID] > 1 {
			e.Why = errTwice.Error()
		}
	}
}

// openedWords say what the site did in place of somebody at the keyboard.
func openedWords(opened []grub.Encrypted) string {
	if len(opened) == 0 {
		return ""
	}
	var parts []string
	for _, e := range opened {
		parts = append(parts, fmt.Sprintf("%d", e.Device))
	}
	return fmt.Sprintf("GRUB would wait for the passphrase of partition %s, which the site gave: without this agent "+
		"somebody has to type it at each start, and the system started now asks again unless it has a key file of its "+
		"own",
		strings.Join(parts, " and "))
}
