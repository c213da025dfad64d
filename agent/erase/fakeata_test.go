package erase

import (
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/diskcast/diskcast/agent/erase/ata"
)

// fakeATA is the ATA side of an imitation disk.
type fakeATA struct {
	d *fakeDisk

	flash                            bool
	enabled, locked, frozen, expired bool
	password                         string
	enhanced                         bool
	abortErase                       bool // SECURITY ERASE UNIT is refused
	takes                            time.Duration
	erases                           time.Duration // what an erase takes

	ops       map[ata.Operation]bool
	running   int // how often it is asked before a sanitize is done
	ends      func()
	stuck     bool // never ends
	failed    bool // the last one
	willFail  bool
	done      bool
	sanFrozen bool
	serial    string
	sectors   int64 // that it says it has; 0: as many as there are
	hidden    int64 // sectors behind the host protected area
	cut       int64 // sectors behind the overlay
	dcoFrozen bool
	began     []string // commands that change the disk
}

// withATA gives a disk everything that ATA has.
func withATA(d *fakeDisk) *fakeDisk {
	d.ata = &fakeATA{d: d, enhanced: true, serial: serial, takes: 90 * time.Minute, erases: 50 * time.Minute,
		ops: map[ata.Operation]bool{ata.Overwrite: true, ata.BlockErase: true, ata.CryptoScramble: true}}
	return d
}

func (a *fakeATA) identify() []byte {
	b := make([]byte, ata.Sector)
	w := func(n int, v uint16) { binary.LittleEndian.PutUint16(b[2*n:], v) }
	set := func(n int, bit int, on bool) {
		if on {
			w(n, binary.LittleEndian.Uint16(b[2*n:])|1<<bit)
		}
	}
	text := func(n, length int, s string) {
		s += strings.Repeat(" ", length-len(s))
		for i := 0; i < length; i += 2 {
			b[2*n+i], b[2*n+i+1] = s[i+1], s[i]
		}
	}
	text(10, 20, a.serial)
	text(27, 40, "Imitation disk with a long model name")
	w(217, 7200)
	if a.flash {
		w(217, 1)
	}
	w(83, 0x4000|1<<10)
	set(82, 1, true)
	set(82, 10, a.hidden > 0)
	set(83, 11, a.cut > 0 || a.dcoFrozen)
	set(128, 0, true)
	set(128, 1, a.enabled)
	set(128, 2, a.locked)
	set(128, 3, a.frozen)
	set(128, 4, a.expired)
	set(128, 5, a.enhanced)
	w(89, uint16(a.takes/(2*time.Minute)))
	w(90, uint16(a.takes/(2*time.Minute)))
	set(59, 12, len(a.ops) > 0)
	set(59, 15, a.ops[ata.BlockErase])
	set(59, 14, a.ops[ata.Overwrite])
	set(59, 13, a.ops[ata.CryptoScramble])
	n := a.sectors
	if n == 0 {
		n = a.d.size / 512
	}
	binary.LittleEndian.PutUint64(b[200:], uint64(n))
	b[510] = 0xa5
	b[511] = -sum(b)
	return b
}

func sum(b []byte) (s byte) {
	for _, v := range b {
		s += v
	}
	return s
}

func (a *fakeATA) Do(c *ata.Command) (ata.Registers, error) {
	refuse := func() (ata.Registers, error) {
		r := ata.Registers{Status: 0x51, Error: 4}
		return r, &ata.Error{Command: c.Name, Regs: r}
	}
	good := ata.Registers{Status: 0x50}
	users := a.d.size / 512
	switch c.Command {
	case 0xec:
		copy(c.Data, a.identify())
	case 0x27:
		good.LBA = uint64(users + a.hidden - 1)
	case 0xb1:
		if a.dcoFrozen {
			return refuse()
		}
		binary.LittleEndian.PutUint64(c.Data[6:], uint64(users+a.hidden+a.cut-1))
		c.Data[510] = 0xa5
		c.Data[511] = -sum(c.Data)
	case 0xf1, 0xf3, 0xf4, 0xf6:
		a.began = append(a.began, c.Name)
		a.d.touch()
		return a.security(c, good, refuse)
	case 0xb4:
		return a.sanitize(c, good, refuse)
	default:
		return refuse()
	}
	return good, nil
}

func (a *fakeATA) security(c *ata.Command, good ata.Registers, refuse func() (ata.Registers, error)) (ata.Registers,
	error) {
	word := ""
	if c.Data != nil {
		word = strings.TrimRight(string(c.Data[2:34]), "\x00")
	}
	switch {
	case a.frozen:
		return refuse()
	case c.Command == 0xf1:
		a.enabled, a.password = true, word
	case c.Command == 0xf6:
		if a.locked || word != a.password {
			return refuse()
		}
		a.enabled = false
	case c.Command == 0xf4:
		if a.abortErase || word != a.password ||
			!slices.Equal(a.began[len(a.began)-2:], []string{"SECURITY ERASE PREPARE",
				c.Name}) {
			return refuse()
		}
		time.Sleep(a.erases)
		a.enabled, a.locked = false, false
		f := pattern{0}
		if c.Data[0]&2 != 0 {
			f = pattern{0x55, 0xaa}
		}
		a.d.erased(f)
	}
	return good, nil
}

func (a *fakeATA) sanitize(c *ata.Command, good ata.Registers, refuse func() (ata.Registers, error)) (ata.Registers,
	error) {
	if c.Feature == 0 { // status
		if a.running > 0 {
			if a.running--; a.stuck {
				a.running++
			}
			if a.running == 0 {
				a.ends()
			}
		}
		switch {
		case a.running > 0:
			good.Count, good.LBA = 1<<14, uint64(65536/(a.running+1))
		case a.failed:
			return refuse()
		case a.done:
			good.Count = 1 << 15
		}
		if a.sanFrozen {
			good.Count |= 1 << 13
		}
		return good, nil
	}
	op := ata.Operation(c.Feature)
	keys := map[ata.Operation]uint64{ata.CryptoScramble: 0x43727970, ata.BlockErase: 0x426b4572,
		ata.Overwrite: 0x4f57 << 32}
	if !a.ops[op] || a.sanFrozen || a.running > 0 || c.LBA != keys[op] {
		return refuse()
	}
	a.began = append(a.began, c.Name)
	a.d.touch()
	a.running, a.failed, a.done = 3, false, false
	a.ends = func() {
		a.failed, a.done = a.willFail, !a.willFail
		if op == ata.CryptoScramble {
			a.d.erased(newStream([]byte("another key"), "garbage"))
		} else {
			a.d.erased(pattern{0})
		}
	}
	return good, nil
}
