package cmd

import (
	"regexp"
	"strings"

	"github.com/diskcast/diskcast/internal/session"
)

const diskRules = "only, serial=, wwn=, by-path=, model=, hctl=, type=, min=, max=, smallest, largest, first, " +
	"path="

// parseDisk reads a disk rule.
func parseDisk(s string) (*session.Target, error) {
	t := &session.Target{}
	for part := range strings.SplitSeq(s, ",") {
		key, value, has := strings.Cut(strings.TrimSpace(part), "=")
		words := map[string]*string{"path": &t.Path, "serial": &t.Serial, "wwn": &t.WWN, "by-path": &t.ByPath,
			"hctl": &t.HCTL, "model": &t.Model, "type": &t.Type}
		marks := map[string]*bool{"smallest": &t.Smallest, "largest": &t.Largest, "first": &t.First}
		var err error
		switch {
		case key == "only" && !has:
		case marks[key] != nil && !has:
			*marks[key] = true
		case value == "":
			err = usage("--disk: %q is none of %s", part, diskRules)
		case words[key] != nil:
			*words[key] = value
		case key == "min":
			t.MinSize, err = parseSize(value)
		case key == "max":
			t.MaxSize, err = parseSize(value)
		default:
			err = usage("--disk: %q is none of %s", part, diskRules)
		}
		if err != nil {
			return nil, err
		}
	}
	// A link of udev's names the place, and is not there on the node.
	if place, ok := strings.CutPrefix(t.Path, "/dev/disk/by-path/"); ok && t.ByPath == "" {
		t.Path, t.ByPath = "", place
	}
	if id, ok := strings.CutPrefix(t.Path, "/dev/disk/by-id/"); ok && byID(t, id) {
		t.Path = ""
	}
	if strings.HasPrefix(t.Path, "/dev/disk/") {
		return nil, usage("--disk: %s is a link that udev makes in a running system: on a node, name the serial=, "+
			"wwn= or by-path= in it", t.Path)
	}
	if err := t.Check(); err != nil {
		return nil, usage("--disk: %w", err)
	}
	return t, nil
}

// byID takes from the name of a link in /dev/disk/by-id what a node knows too: the WWN, or the serial that stands at
// the name's end. It takes nothing where the rule has that already, and none of a partition's links.
func byID(t *session.Target, id string) bool {
	bus, rest, _ := strings.Cut(id, "-")
	if rest == "" || t.WWN != "" || t.Serial != "" || partLink.MatchString(id) {
		return false
	}
	switch {
	case bus == "wwn":
		t.WWN = rest
	case bus == "nvme" && strings.HasPrefix(rest, "eui."):
		t.WWN = rest
	case bus == "scsi" && len(rest) > 1 && rest[0] == '3': // NAA, by the page 83h of SPC-4
		t.WWN = "naa." + rest[1:]
	case bus == "virtio":
		t.Serial = rest
	case bus == "ata" && strings.Contains(rest, "_"):
		t.Serial = rest[strings.LastIndex(rest, "_")+1:]
	default:
		return false
	}
	return true
}

// partLink is the end of a link to a partition.
var partLink = regexp.MustCompile(`-part[0-9]+$`)
