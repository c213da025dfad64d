package cmd

import (
	"strings"

	"github.com/diskcast/diskcast/internal/session"
)

const diskRules = "only, serial=, wwn=, by-path=, model=, type=, min=, max=, smallest, largest, first, path="

// parseDisk reads a disk rule.
func parseDisk(s string) (*session.Target, error) {
	t := &session.Target{}
	for part := range strings.SplitSeq(s, ",") {
		key, value, has := strings.Cut(strings.TrimSpace(part), "=")
		words := map[string]*string{"path": &t.Path, "serial": &t.Serial, "wwn": &t.WWN, "by-path": &t.ByPath,
			"model": &t.Model, "type": &t.Type}
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
	if strings.HasPrefix(t.Path, "/dev/disk/") {
		return nil, usage("--disk: %s is a link that udev makes in a running system: on a node, name the serial=, "+
			"wwn= or by-path= in it", t.Path)
	}
	if err := t.Check(); err != nil {
		return nil, usage("--disk: %w", err)
	}
	return t, nil
}
