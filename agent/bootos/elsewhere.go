package bootos

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/diskcast/diskcast/agent/bootos/grub"
	"github.com/diskcast/diskcast/agent/bootos/luks"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/lvm"
)

// neighbours are the members of RAID and LVM on the machine's other disks: GRUB may take one of them for what is on the
// disk that is started.
type neighbours struct {
	sets    map[string]uint64 // identities of md's sets, and what their members have counted; 0 where these differ
	names   map[string]bool   // of md's sets, "md/boot"
	groups  map[string]bool   // names of LVM's groups
	members map[string]bool   // identities of LVM's physical volumes
	crypts  map[string]bool   // identities of encrypted volumes, as GRUB writes them
	unclear map[grub.Layer]bool
}

// elsewhere lists them for the disk own, /dev/sda. What cannot be read has none, for GRUB neither.
func elsewhere(root, own string) *neighbours {
	n := &neighbours{sets: map[string]uint64{}, names: map[string]bool{}, groups: map[string]bool{},
		members: map[string]bool{}, crypts: map[string]bool{}, unclear: map[grub.Layer]bool{}}
	disks, _ := filepath.Glob(filepath.Join(root, "sys/block/*"))
	for _, disk := range disks {
		name := filepath.Base(disk)
		if "/dev/"+name == own || isMade(name) {
			continue
		}
		n.look(filepath.Join(root, "dev", name))
		parts, _ := filepath.Glob(filepath.Join(disk, name+"*", "partition"))
		for _, p := range parts {
			n.look(filepath.Join(root, "dev", filepath.Base(filepath.Dir(p))))
		}
	}
	return n
}

// isMade tells whether a device is made by the kernel of others, or has a medium that is put in.
func isMade(name string) bool {
	for _, p := range []string{"loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

func (n *neighbours) look(path string) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return
	}
	switch layerOf(f, size) {
	case grub.MD:
		start, length := n.set(f, size)
		if layerOf(io.NewSectionReader(f, start, length), length) == grub.LVM {
			n.group(io.NewSectionReader(f, start, length), length)
		}
	case grub.LVM:
		n.group(f, size)
	case grub.Crypto:
		if h, err := luks.Read(f, size); err == nil {
			n.crypts[h.Plain()] = true
		} else {
			n.unclear[grub.Crypto] = true
		}
	}
}

// set notes a member of md's, whatever its state, and says where its contents are if they are whole.
func (n *neighbours) set(r io.ReaderAt, size int64) (start, length int64) {
	le := binary.LittleEndian
	for _, at := range mdPlaces(size) {
		p := make([]byte, 256)
		if _, err := r.ReadAt(p, at); err != nil || le.Uint32(p) != mdMagic || le.Uint32(p[4:]) != 1 {
			continue
		}
		id, events := hex.EncodeToString(p[16:32]), le.Uint64(p[200:])
		if old, is := n.sets[id]; is && old != events {
			events = 0
		}
		n.sets[id] = events
		n.names["md/"+setName(p[32:64])] = true
		first, count := le.Uint64(p[128:]), le.Uint64(p[80:])
		if le.Uint32(p[72:]) == 1 && first < uint64(size)/512 && count <= uint64(size)/512-first {
			return int64(first) * 512, int64(count) * 512
		}
		return 0, 0
	}
	n.unclear[grub.MD] = true // version 0.90
	return 0, 0
}

func (n *neighbours) group(r io.ReaderAt, size int64) {
	pv, err := lvm.Open(r, size)
	switch {
	case err == nil:
		n.groups[pv.Info().Label], n.members[pv.Info().UUID] = true, true
	case !errors.Is(err, volume.ErrNotThis):
		n.unclear[grub.LVM] = true
	}
}

// mirror says why a mirror of the disk may not be what GRUB takes; empty when it is.
func (n *neighbours) mirror(m *mirror) string {
	if n == nil {
		return ""
	}
	events, is := n.sets[m.id]
	switch {
	case is && events != m.events:
		return "another disk of the machine has a half of its RAID that is older or newer"
	case n.unclear[grub.MD]:
		return "another disk of the machine belongs to a RAID that is not read here"
	case !is && n.names["md/"+m.name]:
		return "another disk of the machine belongs to a RAID of the same name"
	}
	return ""
}

// volume says why an encrypted volume may not be what GRUB takes; empty when it is.
func (n *neighbours) volume(id string) string {
	switch {
	case n == nil:
		return ""
	case n.crypts[id]:
		return "another disk of the machine has an encrypted volume of the same identity"
	case n.unclear[grub.Crypto]:
		return "another disk of the machine has an encrypted volume that is not read here"
	}
	return ""
}

// volumes says why the group of a physical volume may not be what GRUB takes; empty when it is. Both halves of a mirror
// have the same one.
func (n *neighbours) volumes(group, id string, mirrored bool) string {
	switch {
	case n == nil || mirrored && n.members[id]:
		return ""
	case n.members[id]:
		return "another disk of the machine has a physical volume of the same identity"
	case n.unclear[grub.LVM]:
		return "another disk of the machine has a physical volume that is not read here"
	case n.groups[group]:
		return "another disk of the machine has a volume group of the same name"
	}
	return ""
}
