package cmd

import (
	"fmt"
	"strings"

	"github.com/diskcast/diskcast/internal/diskrule"
	"github.com/diskcast/diskcast/internal/units"
	"github.com/diskcast/diskcast/server/doc"
)

// setDisks puts what --disk says into the spec: one rule for the disk of --image, or several times RULE=IMAGE, the
// first of which is the disk that the machine starts from.
func setDisks(spec *doc.Spec, flags []string) error {
	several := len(flags) > 1
	if !several && spec.Image == "" && spec.Profile == "" && spec.Capture == "" && spec.Kind == "" {
		_, _, several = cutImage(flags[0]) // RULE=IMAGE of one disk says both
	}
	if !several {
		t, err := parseDisk(flags[0])
		if err == nil {
			spec.Target = *t
		}
		return err
	}
	if spec.Image != "" || spec.Capture != "" || spec.Kind != "" {
		return usage("--disk RULE=IMAGE, given for each disk, names the images: leave --image, --capture and " +
			"--partition out")
	}
	for i, flag := range flags {
		rule, image, ok := cutImage(flag)
		if !ok {
			return usage("--disk %s: with several disks, each is RULE=IMAGE: --disk smallest=debian --disk "+
				"serial=S4X=data",
				flag)
		}
		t, err := parseDisk(rule)
		if err != nil {
			return err
		}
		if i == 0 {
			spec.Image, spec.Target = image, *t
			continue
		}
		spec.MoreDisks = append(spec.MoreDisks, doc.DiskImage{Image: image, Target: *t})
	}
	return nil
}

// cutImage takes RULE=IMAGE apart, at the last =, since rules have some. It reports whether what is before it is a
// rule.
func cutImage(flag string) (rule, image string, ok bool) {
	at := strings.LastIndexByte(flag, '=')
	if at <= 0 || at == len(flag)-1 {
		return "", "", false
	}
	_, err := parseDisk(flag[:at])
	return flag[:at], flag[at+1:], err == nil
}

// moreDiskRows are rows on what goes to the further disks of a session.
func moreDiskRows(s *doc.Session) [][]string {
	if len(s.MoreDisks) == 0 {
		return nil
	}
	rows := [][]string{{"disk 1", diskrule.Rule(s.Spec.Target) + "; machines start from it"}}
	for i := range s.MoreDisks {
		rule := ""
		if i < len(s.Spec.MoreDisks) {
			rule = diskrule.Rule(s.Spec.MoreDisks[i].Target)
		}
		im := &s.MoreDisks[i].Image
		rows = append(rows, []string{fmt.Sprintf("disk %d", i+2), fmt.Sprintf("%s: %s  %s, object %s", rule, im.Name,
			im.Manifest, units.Bytes(im.ObjectSize))})
		if c := s.MoreDisks[i].Cast; c != nil {
			rows = append(rows, []string{"", fmt.Sprintf("group %s, sent %s, of it repair %s", c.Group,
				units.Bytes(c.Stats.Sent), units.Bytes(c.Stats.Repair))})
			if c.Stats.Warning != "" {
				rows = append(rows, []string{"warning", c.Stats.Warning})
			}
		}
	}
	return rows
}

// moreDisksOf are lines on the further disks of a node.
func moreDisksOf(p *doc.Part) []string {
	var out []string
	for i := range p.MoreDisks {
		words := "not chosen yet"
		if d := p.MoreDisks[i].Disk; d != nil {
			words = d.Words()
		}
		out = append(out, fmt.Sprintf("disk %d on %s", i+2, words))
	}
	return out
}
