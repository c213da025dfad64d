package convert

import (
	"fmt"
	"slices"
	"strconv"
)

// logicals writes the chain of extended boot records. The dump does not say where they are, but for the first two: one
// is where the extended partition begins, and its copy in the image links to the next. The others are put where fdisk
// puts them: 1 MiB before their partition, or, where others lie there, right before it. The chain goes by number, which
// need not be the order of place.
func (c *clonezilla) logicals() error {
	var extended *sfPart
	var logical []sfPart
	for i, p := range c.table.parts {
		if p.extended() {
			extended = &c.table.parts[i]
		} else if p.number > 4 && c.table.label != "gpt" {
			logical = append(logical, p)
		}
	}
	if extended == nil || c.table.label == "gpt" || len(logical) == 0 {
		return nil
	}
	slices.SortFunc(logical, func(a, b sfPart) int { return a.number - b.number })
	first := c.firstRecord(extended, logical)
	taken := slices.Clone(logical) // what no further record may lie on
	at := make([]int64, len(logical))
	for i, p := range logical {
		switch {
		case p.start <= extended.start || p.start+p.size > extended.start+extended.size:
			return fmt.Errorf("logical partition %s does not lie in the extended partition %s", p.name, extended.name)
		case i == 0:
			at[i] = extended.start
		case i == 1 && first.next > 0:
			at[i] = first.next
		default:
			at[i] = c.roomFor(extended, p, taken)
		}
		if at[i] < extended.start || at[i] >= p.start || within(at[i], c.table.sector, taken) {
			return fmt.Errorf("there is no room for the boot record of logical partition %s", p.name)
		}
		taken = append(taken, sfPart{start: at[i], size: c.table.sector})
	}
	for i, p := range logical {
		record := make([]byte, 512)
		if i == 0 { // what boot code may be in the first one
			copy(record, first.code)
		}
		if err := c.entry(record[446:], p, at[i]); err != nil {
			return err
		}
		if i+1 < len(logical) {
			n := logical[i+1]
			link := sfPart{start: at[i+1], size: n.start + n.size - at[i+1], kind: "5"}
			if err := c.entry(record[462:], link, extended.start); err != nil {
				return err
			}
		}
		record[510], record[511] = 0x55, 0xaa
		if err := c.out.write(record, at[i]); err != nil {
			return err
		}
	}
	return nil
}

// record is what the copy of the first extended boot record says.
type record struct {
	code []byte
	next int64 // where the second record is; 0 if it does not say
}

// firstRecord reads sdaN-ebr. Its link counts if its first entry is the first logical partition.
func (c *clonezilla) firstRecord(extended *sfPart, logical []sfPart) record {
	p, _ := c.small(extended.name + "-ebr")
	if len(p) < 512 || p[510] != 0x55 || p[511] != 0xaa {
		return record{}
	}
	r := record{code: p[:446]}
	ss := c.table.sector
	if extended.start+int64(le.Uint32(p[446+8:]))*ss == logical[0].start && len(logical) > 1 &&
		le.Uint32(p[462+12:]) > 0 {
		r.next = extended.start + int64(le.Uint32(p[462+8:]))*ss
	}
	return r
}

// roomFor finds a sector for the boot record of p.
func (c *clonezilla) roomFor(extended *sfPart, p sfPart, taken []sfPart) int64 {
	gap := extended.start // where the free space before p begins
	for _, t := range taken {
		if t.start < p.start {
			gap = max(gap, t.start+t.size)
		}
	}
	ss := c.table.sector
	for _, before := range []int64{1 << 20, 63 * ss} {
		if at := p.start - before; at == gap || at > gap && before == 1<<20 {
			return at
		}
	}
	if gap < p.start {
		return p.start - ss
	}
	// Another partition ends where p begins: any free sector further down will do.
	free := extended.start
	for again := true; again; {
		again = false
		for _, t := range taken {
			if free >= t.start && free < t.start+t.size {
				free, again = t.start+t.size, true
			}
		}
	}
	return free
}

func within(at, n int64, taken []sfPart) bool {
	return slices.ContainsFunc(taken, func(t sfPart) bool { return at < t.start+t.size && t.start < at+n })
}

// entry fills a dos partition entry with addresses relative to base, and cylinders, heads and sectors as fdisk does: of
// a disk of 255 heads and 63 sectors, all ones where that does not reach.
func (c *clonezilla) entry(e []byte, p sfPart, base int64) error {
	kind, err := strconv.ParseUint(p.kind, 16, 8)
	if err != nil {
		return fmt.Errorf("logical partition %s has type %q", p.name, p.kind)
	}
	start, size := p.start/c.table.sector, p.size/c.table.sector
	if p.bootable {
		e[0] = 0x80
	}
	chs(e[1:], start)
	e[4] = byte(kind)
	chs(e[5:], start+size-1)
	le.PutUint32(e[8:], uint32((p.start-base)/c.table.sector))
	le.PutUint32(e[12:], uint32(size))
	return nil
}

func chs(e []byte, sector int64) {
	cylinder, head, s := sector/(255*63), sector/63%255, sector%63+1
	if cylinder > 1023 {
		cylinder, head, s = 1023, 254, 63
	}
	e[0], e[1], e[2] = byte(head), byte(s)|byte(cylinder>>8)<<6, byte(cylinder)
}
