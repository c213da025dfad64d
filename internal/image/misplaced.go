package image

import "fmt"

// Misplaced says why the image cannot go over a whole disk, or, with partition, into one partition of a disk; empty
// when it can.
func (c *Config) Misplaced(partition bool) string {
	switch {
	case !partition && c.Origin != nil:
		return fmt.Sprintf("the image is of one partition (partition %d of a disk of %d bytes), and no image of a "+
			"disk: name the partition that it goes to (`--partition`)", c.Origin.Number, c.Origin.DiskSize)
	case !partition:
		return ""
	case c.Table.Kind != "none":
		return fmt.Sprintf("the image is of a disk with a partition table of its own, and would be a disk within a "+
			"partition: take one of its %d partitions (`diskcast image cut IMAGE:NUMBER NAME`)",
			len(c.Table.Partitions))
	case c.Table.Refused:
		return "the image is of a disk whose partition table could not be believed, and not of a partition: capture " +
			"one (`diskcast image capture --partition`)"
	}
	return ""
}
