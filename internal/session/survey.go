package session

// Survey is what a node saw on its disks without writing to them.
type Survey struct {
	Age   float64   `json:"age"` // seconds from the look to the hello that tells of it
	Disks []Content `json:"disks"`
}

// Content is what is on one disk.
type Content struct {
	Disk DiskID `json:"disk"`
	// Table is the kind of the partition table: gpt, dos or none; empty when that could not be told. TableID is the
	// table's own id.
	Table   string `json:"table,omitempty"`
	TableID string `json:"table_id,omitempty"`
	// Doubt says why something like a table is not believed.
	Doubt string `json:"doubt,omitempty"`
	// Partitions are the table's, or the one file system of a disk without a table. More is how many are left out.
	Partitions []PartitionContent `json:"partitions,omitempty"`
	More       int                `json:"more,omitempty"`
	// Starts names what firmware would find to start: the boot loaders of EFI system partitions, boot code in the MBR.
	Starts []string `json:"starts,omitempty"`
	Used   string   `json:"used,omitempty"` // what uses the disk or a partition on the node: mounts, holders
	// Problem says why the disk, or the rest of it, was not looked at.
	Problem string `json:"problem,omitempty"`
}

// PartitionContent is what is in one partition.
type PartitionContent struct {
	Number int    `json:"number,omitempty"` // 0: the disk itself, which has no table
	Start  int64  `json:"start,omitempty"`  // bytes
	Size   int64  `json:"size"`             // bytes
	Name   string `json:"name,omitempty"`   // in the GPT
	UUID   string `json:"uuid,omitempty"`   // PARTUUID
	// FS is the file system's type as blkid says it, or that of a member of LVM, RAID or encryption; raw for nothing
	// that is known, or for several signatures, which Signatures has then.
	FS         string   `json:"fs"`
	Label      string   `json:"label,omitempty"`
	Signatures []string `json:"signatures,omitempty"`
}

// Bounds of a survey, for who makes one and for who is told one.
const (
	MaxSurvey           = 8 << 10 // bytes of JSON
	MaxSurveyPartitions = 32      // of a disk
	MaxSurveyStarts     = 8       // of a disk
	MaxSurveyWord       = 128     // bytes of a string
)

// Of finds what is on the disk, nil when nothing is known of it.
func (s *Survey) Of(d *Disk) *Content {
	if s == nil {
		return nil
	}
	for i := range s.Disks {
		if s.Disks[i].Disk.Is(d) {
			return &s.Disks[i]
		}
	}
	return nil
}

// Partition finds the partition that is meant, nil when there is none or there are several.
func (c *Content) Partition(by PartitionBy) *PartitionContent {
	var found *PartitionContent
	for i := range c.Partitions {
		p := &c.Partitions[i]
		if p.Number == 0 || !(by.Number != 0 && by.Number == p.Number || by.Name != "" && by.Name == p.Name ||
			by.UUID != "" && by.UUID == p.UUID) {
			continue
		}
		if found != nil {
			return nil
		}
		found = p
	}
	return found
}

// bounds of what only a stranger says.
const (
	maxSurveyAge        = 366 * 24 * 3600 // seconds
	maxSurveySignatures = 8
)

// BoundSurvey leaves of a survey that a stranger told what can be: of disks that the inventory has, once each, with
// partitions that have a place and a size.
func (inv *Inventory) BoundSurvey() {
	s := inv.Survey
	if s == nil {
		return
	}
	s.Age = min(max(s.Age, 0), maxSurveyAge)
	var kept []Content
	for i := range inv.Disks {
		c := s.Of(&inv.Disks[i])
		if c == nil {
			continue
		}
		c.bound(inv.Disks[i].Size)
		kept = append(kept, *c)
	}
	s.Disks = kept
}

// bound leaves what can be on a disk of size bytes.
func (c *Content) bound(size int64) {
	parts := c.Partitions[:0:0]
	for _, p := range c.Partitions {
		if p.Number < 0 || p.Number > maxPartition || p.Start < 0 || p.Size < 0 ||
			p.Start > size || p.Size > size-p.Start {
			continue
		}
		p.Signatures = p.Signatures[:min(len(p.Signatures), maxSurveySignatures)]
		parts = append(parts, p)
	}
	left := len(parts) - min(len(parts), MaxSurveyPartitions)
	c.Partitions = parts[:len(parts)-left]
	c.More = min(max(c.More, 0), maxPartition) + left
	c.Starts = c.Starts[:min(len(c.Starts), MaxSurveyStarts)]
}
