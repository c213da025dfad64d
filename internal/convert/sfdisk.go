package convert

import (
	"bufio"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// sfdisk is what `sfdisk --dump` and `parted unit s print` say of a disk.
type sfdisk struct {
	label  string
	sector int64
	size   int64 // bytes
	parts  []sfPart
	// guessed says that nothing but the partitions tells the size
	guessed bool
}

type sfPart struct {
	name        string // "sda1"
	number      int
	start, size int64 // bytes
	kind        string
	bootable    bool
}

func (p sfPart) extended() bool { return p.kind == "5" || p.kind == "f" || p.kind == "85" }

const maxParts = 4096

// first is where the first partition begins.
func (t sfdisk) first() int64 {
	first := t.size
	for _, p := range t.parts {
		if p.size > 0 {
			first = min(first, p.start)
		}
	}
	return first
}

func parseSfdisk(dump, parted string) (sfdisk, error) {
	t := sfdisk{sector: 512}
	lastLBA := int64(0)
	type line struct{ name, fields string }
	var lines []line
	for s := bufio.NewScanner(strings.NewReader(dump)); s.Scan(); {
		name, fields, found := strings.Cut(s.Text(), ":")
		name, fields = strings.TrimSpace(name), strings.TrimSpace(fields)
		if !found {
			continue
		}
		switch {
		case strings.HasPrefix(name, "/dev/"):
			lines = append(lines, line{name[strings.LastIndexByte(name, '/')+1:], fields})
		case name == "label":
			t.label = fields
		case name == "sector-size":
			t.sector, _ = strconv.ParseInt(fields, 10, 64)
		case name == "last-lba":
			lastLBA, _ = strconv.ParseInt(fields, 10, 64)
		}
	}
	// parted's report is the only place that has the size of a disk.
	for s := bufio.NewScanner(strings.NewReader(parted)); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), "Sector size (logical/physical): "); ok {
			logical, _, _ := strings.Cut(rest, "B")
			t.sector, _ = strconv.ParseInt(logical, 10, 64)
		}
	}
	if t.sector != 512 && t.sector != 4096 {
		return t, fmt.Errorf("its disk has sectors of %d bytes", t.sector)
	}
	sectors := int64(0)
	for s := bufio.NewScanner(strings.NewReader(parted)); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), "Disk /dev/"); ok {
			_, size, _ := strings.Cut(rest, ": ")
			sectors, _ = strconv.ParseInt(strings.TrimSuffix(size, "s"), 10, 64)
		}
	}
	if len(lines) > maxParts {
		return t, fmt.Errorf("its table has %d partitions", len(lines))
	}
	end := int64(0)
	for _, l := range lines {
		p := sfPart{name: l.name}
		digits := strings.TrimRight(l.name, "0123456789")
		p.number, _ = strconv.Atoi(l.name[len(digits):])
		for _, field := range strings.Split(l.fields, ",") {
			key, value, _ := strings.Cut(strings.TrimSpace(field), "=")
			value = strings.TrimSpace(value)
			n, err := strconv.ParseInt(value, 10, 64)
			switch key {
			case "start", "size":
				if err != nil || n < 0 || n > 1<<40 {
					return t, fmt.Errorf("partition %s has %s %q", l.name, key, value)
				}
				if key == "start" {
					p.start = n * t.sector
				} else {
					p.size = n * t.sector
				}
			case "type", "Id":
				p.kind = strings.ToLower(value)
			case "bootable":
				p.bootable = true
			}
		}
		if p.size > 0 {
			t.parts = append(t.parts, p)
			end = max(end, p.start+p.size)
		}
	}
	if len(t.parts) == 0 {
		return t, errors.New("its sfdisk dump (…-pt.sf) lists no partitions")
	}
	switch {
	case sectors > 0 && sectors < 1<<50:
		t.size = sectors * t.sector
	case lastLBA > 0 && lastLBA < 1<<50:
		// the backup entries and header are behind the last usable sector
		t.size = (lastLBA + 1 + 1 + 16384/t.sector) * t.sector
	default:
		t.size, t.guessed = end, true
	}
	if end > t.size {
		return t, fmt.Errorf("its partitions end at %d, and its disk at %d", end, t.size)
	}
	return t, nil
}
