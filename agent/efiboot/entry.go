package efiboot

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/agent/efivars"
	"github.com/diskcast/diskcast/internal/volume/esp"
)

// entry is the boot entry that is being made.
type entry struct {
	vars   Vars
	system System
	loader esp.Loader
	why    string // the loader was chosen
	disk   string

	options map[uint16]*efivars.Option
	order   []uint16
	came    *uint16 // the entry that the machine was started by; nil when that is not known
	damaged bool    // the variable BootOrder has half a number at its end
	mended  bool    // it was written anew
	stands  bool    // the entry was in the order before
	number  uint16
	made    bool // number is that of the entry that was made, or was there
}

func (e *entry) read() error {
	var err error
	if e.options, err = efivars.Options(e.vars); err != nil {
		return err
	}
	if e.order, e.damaged, err = efivars.Order(e.vars); err != nil {
		return err
	}
	if n, ok := efivars.Current(e.vars); ok {
		e.came = &n
	}
	return nil
}

// here tells whether an option starts a file of the partition.
func (e *entry) here(o *efivars.Option) (file string, ok bool) {
	if o == nil {
		return "", false
	}
	p, file, ok := o.Starts()
	return file, ok && file != "" && p.Same(&e.system.Partition)
}

func ours(o *efivars.Option) bool { return o != nil && strings.HasSuffix(o.Description, mark) }

// prefer takes over what the firmware's memory says: an entry that somebody else made, an installer say, which names a
// loader that the partition still has, is the machine's choice among its loaders.
func (e *entry) prefer(arch string) {
	all := append(slices.Clone(e.system.Contents.Loaders), e.system.Contents.Fallbacks...)
	for _, n := range e.order {
		file, ok := e.here(e.options[n])
		if o := e.options[n]; !ok || ours(o) || classOf(o) == inert {
			continue
		}
		for _, l := range all {
			if l.Arch == arch && strings.EqualFold(l.Path, file) {
				e.loader, e.why = l, "what "+efivars.Name(n)+" names already"
				return
			}
		}
	}
}

// want is the option that should be there, and its number: the one that starts this loader already, be it with the
// partition at an older place, else one of ours for this partition, else a new one.
func (e *entry) want() (uint16, *efivars.Option) {
	path := efivars.DiskPath(&e.system.Partition, e.loader.Path)
	for _, own := range []bool{false, true} {
		for _, n := range slices.Sorted(maps.Keys(e.options)) {
			o := e.options[n]
			file, ok := e.here(o)
			if !ok || ours(o) != own || classOf(o) == inert || !own && !strings.EqualFold(file, e.loader.Path) {
				continue
			}
			if own {
				return n, e.fresh(path)
			}
			p, _, _ := o.Starts()
			if p == e.system.Partition || !o.OnlyPartition() {
				return n, o
			}
			fixed := *o
			fixed.Path = path
			return n, &fixed
		}
	}
	for n := uint16(0); ; n++ {
		// A number that only the order knows may become somebody's again.
		if _, taken := e.options[n]; !taken && !slices.Contains(e.order, n) {
			return n, e.fresh(path)
		}
	}
}

func (e *entry) fresh(path []byte) *efivars.Option {
	text := []rune(strings.Map(func(r rune) rune {
		if r < ' ' || r > 0xffff || r >= 0xd800 && r < 0xe000 {
			return -1 // not UCS-2
		}
		return r
	}, e.loader.Name))
	return &efivars.Option{Attributes: efivars.Active,
		Description: string(text[:min(len(text), maxDescription)]) + mark, Path: path}
}

// write makes the entry and its place in the order, and reads both back. Nothing is written that is there already: the
// firmware's memory wears. It returns what was done to the entry.
func (e *entry) write() (done string, err error) {
	n, o := e.want()
	e.number, e.made, e.stands = n, true, slices.Contains(e.order, n)
	old, had := e.options[n]
	done = "was there already"
	if !had || old == nil || !old.Equal(o) {
		done = "was made"
		if had {
			done = "was made anew"
		}
		if err := e.set(efivars.Name(n), o.Bytes()); err != nil {
			e.stands = false // what firmware kept of it is not known
			return "", err
		}
		e.options[n] = o
	}
	order := place(e.order, n, e.came, func(id uint16) class { return classOf(e.options[id]) })
	if e.damaged || !slices.Equal(order, e.order) {
		if err := e.set("BootOrder", efivars.OrderBytes(order)); err != nil {
			if !e.stands {
				e.takeBack(old)
			}
			return done, err
		}
		e.order, e.mended = order, e.damaged
	}
	return done, nil
}

// takeBack undoes what was made of an entry that has no place in the order. The first error is what the operator must
// know.
func (e *entry) takeBack(old *efivars.Option) {
	name := efivars.Name(e.number)
	switch {
	case old == nil:
		_ = e.vars.Remove(name)
	case !old.Equal(e.options[e.number]):
		_ = e.vars.Set(name, old.Bytes())
	}
}

// set writes a variable and reads it back: firmware exists that takes a value and forgets it.
func (e *entry) set(name string, data []byte) error {
	if err := e.vars.Set(name, data); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	got, err := e.vars.Get(name)
	if err != nil {
		return fmt.Errorf("%s was written and cannot be read back: %w", name, err)
	}
	if !bytes.Equal(got, data) {
		return fmt.Errorf("the firmware did not keep what was written to %s (%d bytes, %d are there)", name, len(data),
			len(got))
	}
	return nil
}

// words say what the entry starts and where it stands in the order.
func (e *entry) words(done string) string {
	words := fmt.Sprintf("boot entry %s %q %s: it starts %s on partition %d of %s (%s), %s; boot order %s",
		efivars.Name(e.number), e.options[e.number].Description, done, e.loader.Path, e.system.Index, e.disk,
		e.system.ID(), e.why, list(e.order))
	var unsure []string
	net := false
	at := slices.Index(e.order, e.number)
	for _, n := range e.order[:at] {
		switch classOf(e.options[n]) {
		case network:
			net = true
		case unknown:
			unsure = append(unsure, fmt.Sprintf("%s %q", efivars.Name(n), e.options[n].Description))
		}
	}
	if e.mended {
		words += " (BootOrder had half a number at its end, and was written anew without it)"
	}
	switch {
	case net:
		words += ", the network before it as it was"
	case slices.ContainsFunc(e.order[at+1:], func(n uint16) bool { return classOf(e.options[n]) == network }):
		words += ", the network behind it as it was behind a disk"
	}
	if n := len(unsure); n > 0 {
		if n > maxNamed {
			unsure = append(unsure[:maxNamed], fmt.Sprintf("%d more", n-maxNamed))
		}
		words += fmt.Sprintf("; %s before it may be the network and kept the place: if it is a disk, firmware starts "+
			"that first", strings.Join(unsure, ", "))
	}
	words += e.next()
	for _, u := range e.system.Contents.Unfit {
		words += fmt.Sprintf("; %s: firmware does not start it", u)
	}
	return words
}

// maxNamed bounds how many entries an event names.
const maxNamed = 24

// list writes a boot order for people.
func list(order []uint16) string {
	var words []string
	for _, n := range order[:min(len(order), maxNamed)] {
		words = append(words, fmt.Sprintf("%04X", n))
	}
	if more := len(order) - maxNamed; more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(words, ",")
}

// next says which other entry the firmware's BootNext has the next restart start, whatever the order is.
func (e *entry) next() string {
	b, err := e.vars.Get("BootNext")
	if err != nil || len(b) != 2 {
		return ""
	}
	n := binary.LittleEndian.Uint16(b)
	if n == e.number {
		return ""
	}
	what := "which is no entry"
	if o := e.options[n]; o != nil {
		what = fmt.Sprintf("%q", o.Description)
	}
	return fmt.Sprintf("; the next restart is for %s (%s) alone, since BootNext is set", efivars.Name(n), what)
}
