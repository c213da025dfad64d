package cmd

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/units"
	"github.com/diskcast/diskcast/server/cmd/ui"
)

// onDisk are the rows of `node show` on what is on a disk.
func onDisk(c *session.Content, at time.Time) [][]string {
	var rows [][]string
	for i, words := range onDiskWords(c, at, nil) {
		rows = append(rows, []string{map[bool]string{true: "  on it"}[i == 0], words})
	}
	return rows
}

// onDiskWords are lines on what was on a disk when its node looked; the target among its partitions is marked.
func onDiskWords(c *session.Content, at time.Time, target *session.PartitionContent) []string {
	out := []string{fmt.Sprintf("%s; looked at %s", tableWords(c), ui.Ago(at))}
	for i := range c.Partitions {
		out = append(out, partitionWords(&c.Partitions[i], target))
	}
	if c.More > 0 {
		out = append(out, fmt.Sprintf("  and %d more partitions", c.More))
	}
	if len(c.Starts) > 0 {
		out = append(out, "starts: "+strings.Join(c.Starts, ", "))
	}
	if c.Used != "" {
		out = append(out, "in use: "+c.Used)
	}
	if c.Problem != "" {
		out = append(out, "not looked at to the end: "+c.Problem)
	}
	return out
}

func tableWords(c *session.Content) string {
	switch {
	case c.Doubt != "":
		return "something like a partition table that is not believed: " + c.Doubt
	case c.Table == "gpt":
		return fmt.Sprintf("GPT, %d partitions", len(c.Partitions)+c.More)
	case c.Table == "dos":
		return fmt.Sprintf("MBR, %d partitions", len(c.Partitions)+c.More)
	case c.Table == "none" && len(c.Partitions) > 0:
		return "a file system without a partition table"
	case c.Table == "none" && c.Problem == "":
		return "nothing that is known: no partition table, no file system"
	}
	return "no partition table that could be read"
}

func partitionWords(x *session.PartitionContent, target *session.PartitionContent) string {
	w := []string{"  " + strconv.Itoa(x.Number), units.Bytes(x.Size), ui.Dash(x.FS)}
	if len(x.Signatures) > 0 {
		w = append(w, "(signatures of "+strings.Join(x.Signatures, " and ")+")")
	}
	if x.Label != "" {
		w = append(w, strconv.Quote(x.Label))
	}
	if x.Name != "" {
		w = append(w, "named "+strconv.Quote(x.Name))
	}
	if target != nil && target.Number == x.Number {
		w = append(w, "<- this one")
	}
	return strings.Join(w, "  ")
}
