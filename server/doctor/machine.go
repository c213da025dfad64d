package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/sealed"
	"github.com/diskcast/diskcast/internal/units"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/identity"
	"github.com/diskcast/diskcast/server/netboot/bootca"
)

// earliest is before which no server of this program ran.
var earliest = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

func lookClock(_ context.Context, s *Subject, l *Look) {
	now := s.Host.Now()
	if now.Before(earliest) {
		l.find(ClockWrong, "this machine's clock says "+now.UTC().Format(time.RFC3339),
			"start times, leases and receipts go by it", "timedatectl set-ntp true, or date -s")
		return
	}
	ok, err := s.Host.Synchronised()
	switch {
	case err != nil:
		l.not("whether this machine's clock is kept right: %v", err)
	case !ok:
		l.find(ClockFree, "nobody keeps this machine's clock right: the kernel was told of no synchronisation",
			"start times, leases and receipts go by it, and it drifts", "timedatectl set-ntp true (apt install chrony)")
	default:
		l.well("this machine's clock is kept right")
	}
}

// Least room, in bytes and in a share of the file system.
const (
	leastState  = 512 << 20
	leastImages = 4 << 30
	leastShare  = 50 // one of so many
)

func lookRoom(_ context.Context, s *Subject, l *Look) {
	room(RoomState, "state directory", s.State, leastState,
		"what nodes report cannot be stored, and sessions stand still", "diskcast session rm, or a larger disk", l)
	room(RoomImages, "image store", s.Store, leastImages, "imports and captures end in the middle",
		"diskcast image rm IMAGE --server https://127.0.0.1:8443 && diskcast image gc, or a larger disk", l)
}

func room(id ID, what, dir string, least uint64, cause, mend string, l *Look) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		l.not("the room of the %s %s: %v", what, dir, err)
		return
	}
	if st.Flags&unix.ST_RDONLY != 0 {
		l.find(ReadOnly, fmt.Sprintf("the %s %s is read only", what, dir),
			"the server does not start, or stores nothing: "+cause,
			"mount -o remount,rw \"$(findmnt -nT "+dir+" -o TARGET)\""+
				"; `dmesg` says why a disk became read only")
	}
	size := uint64(max(st.Bsize, 0))
	free, all := st.Bavail*size, st.Blocks*size
	words := func() string {
		return fmt.Sprintf("%s of %s are free in the %s %s", units.Bytes(int64(free)), units.Bytes(int64(all)), what,
			dir)
	}
	switch {
	case st.Files > 0 && st.Ffree*leastShare*10 < st.Files:
		l.find(id, fmt.Sprintf("%d of %d inodes are free in the %s %s", st.Ffree, st.Files, what, dir), cause, mend)
	case free < least || free < all/leastShare && free < 10*least:
		l.find(id, words(), cause, mend)
	default:
		l.well("%s", words())
	}
}

// expiry is how long before its end a certificate is a finding.
const expiry = 30 * 24 * time.Hour

// lookKeys looks at the files by which the server and its operators prove themselves.
func lookKeys(_ context.Context, s *Subject, l *Look) {
	dir, err := os.Stat(s.State)
	if err != nil {
		l.not("the server's key: %v", err)
		return
	}
	private(s.State, dir, nil, "the key and the token are in it", l)
	for _, f := range []struct {
		name, what string
		need       bool
	}{
		{identity.KeyFile, "who has it can play the server", true},
		{identity.TokenFile, "who has it can overwrite the disks of all nodes", true},
		{bootca.File, "who has it can play the server to firmware that boots by HTTPS", false},
		{sealed.KeyFile, "who has it and the state can read all secrets in it", false},
	} {
		path := filepath.Join(s.State, f.name)
		st, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist) && f.need:
			l.find(KeyDamaged, path+" is not there",
				"the server makes it when it starts; nodes then want a new boot directory",
				"bring it back from a backup, or diskcast up")
		case errors.Is(err, fs.ErrNotExist): // made when it is wanted
		case err != nil:
			l.not("%v", err)
		default:
			private(path, st, dir, f.what, l)
		}
	}
	certificate(filepath.Join(s.State, identity.KeyFile), s, l)
}

// private looks whether others than the owner may read a file or folder, and whether its owner is the folder's.
func private(path string, st, dir fs.FileInfo, cause string, l *Look) {
	mode := st.Mode().Perm()
	to := "600"
	if st.IsDir() {
		to = "700"
	}
	if mode&0o077 != 0 {
		l.find(KeyOpen, fmt.Sprintf("others than its owner can read %s (mode %04o)", path, mode), cause, "chmod "+to+
			" "+path)
	}
	own, ok1 := st.Sys().(*syscall.Stat_t)
	if dir == nil || !ok1 {
		return
	}
	if of, ok := dir.Sys().(*syscall.Stat_t); ok && own.Uid != of.Uid && of.Uid != 0 {
		l.find(KeyOwner, fmt.Sprintf("%s belongs to user %d, and its folder to %d", path, own.Uid, of.Uid),
			"the server, which runs as the folder's owner, cannot read it",
			fmt.Sprintf("chown --reference=%s %s", filepath.Dir(path), path))
	}
}

func certificate(path string, s *Subject, l *Look) {
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return // said already
	case err != nil:
		l.not("the server's certificate: %v; run this as root", err)
		return
	}
	c, err := tls.X509KeyPair(b, b)
	switch {
	case err != nil || c.Leaf == nil:
		l.find(KeyDamaged, fmt.Sprintf("%s is no key with its certificate: %v", path, err),
			"the server does not start with it",
			"bring it back from a backup; moved away, a new one is made, and nodes want a new boot directory")
	case c.Leaf.NotAfter.Before(s.Host.Now().Add(expiry)):
		l.find(KeyExpired, fmt.Sprintf("the server's certificate ends %s", c.Leaf.NotAfter.UTC().Format(time.RFC3339)),
			"nodes know the key by its pin and take it all the same; other clients of the API may refuse it",
			"diskcast token prints the pin; have clients know the server by it")
	default:
		l.well("the server's key is whole; its certificate is good until %d", c.Leaf.NotAfter.Year())
	}
}

// Bounds of what is said of machines.
const (
	maxMachines = 20
	stuckFor    = 12 * time.Hour // after its last word, a machine that could not boot was taken away
)

// lookMachines asks the server for machines that are stuck.
func lookMachines(ctx context.Context, s *Subject, l *Look) {
	if s.Server == nil {
		l.not("the machines: the server does not run")
		return
	}
	nodes, err := s.Server.Nodes(ctx)
	if err != nil {
		l.not("the machines: %v", err)
		return
	}
	judgeMachines(nodes, s.Host.Now(), l)
}

func judgeMachines(nodes []doc.Node, now time.Time, l *Look) {
	var silent, stuck, off []string
	var last time.Time
	for i := range nodes {
		n := &nodes[i]
		if n.LastSeen.After(last) {
			last = n.LastSeen
		}
		name := n.ID
		if n.Name != "" {
			name = n.Name
		}
		switch {
		case n.Where == doc.Silent && n.Session == "":
			off = append(off, name)
		case n.Where == doc.Silent:
			silent = append(silent, fmt.Sprintf("%s, for %v", name, now.Sub(n.LastSeen).Round(time.Second)))
		case n.Where == doc.Booting && n.Problem != "" && now.Sub(n.LastSeen) < stuckFor:
			stuck = append(stuck, name+": "+n.Problem)
		}
	}
	if len(silent) > 0 {
		l.find(MachineSilent, fmt.Sprintf("the agent of %d machines that work for a session is silent: %s", len(silent),
			few(silent)),
			"the machine was switched off, restarted, or lost its network",
			"look at its console; diskcast node log NODE")
	}
	if len(stuck) > 0 {
		l.find(MachineStuck, fmt.Sprintf("%d machines cannot boot: %s", len(stuck), few(stuck)),
			"they asked for boot files and came no further", "diskcast node show NODE")
	}
	switch {
	case len(nodes) == 0:
		l.well("no machine was ever seen")
	case len(silent)+len(stuck) == 0:
		l.well("%d machines were seen, the last %v ago; none that works for a session is silent, and none is stuck",
			len(nodes), now.Sub(last).Round(time.Second))
	}
	if len(off) > 0 {
		l.well("%d machines without a session were in the agent and are silent: %s", len(off), few(off))
	}
}

func few(names []string) string {
	if len(names) <= maxMachines {
		return strings.Join(names, "; ")
	}
	return fmt.Sprintf("%s; and %d more", strings.Join(names[:maxMachines], "; "), len(names)-maxMachines)
}
