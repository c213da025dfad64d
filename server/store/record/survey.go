package record

import "github.com/diskcast/diskcast/internal/session"

// Survey is what a node saw on its disks.
type Survey struct {
	Age   float64   `json:"age"`
	Disks []Content `json:"disks"`
}

// Content is what is on one disk.
type Content struct {
	Disk       DiskID             `json:"disk"`
	Table      string             `json:"table,omitempty"`
	TableID    string             `json:"table_id,omitempty"`
	Doubt      string             `json:"doubt,omitempty"`
	Partitions []PartitionContent `json:"partitions,omitempty"`
	More       int                `json:"more,omitempty"`
	Starts     []string           `json:"starts,omitempty"`
	Used       string             `json:"used,omitempty"`
	Problem    string             `json:"problem,omitempty"`
}

// PartitionContent is what is in one partition.
type PartitionContent struct {
	Number     int      `json:"number,omitempty"`
	Start      int64    `json:"start,omitempty"`
	Size       int64    `json:"size"`
	Name       string   `json:"name,omitempty"`
	UUID       string   `json:"uuid,omitempty"`
	FS         string   `json:"fs"`
	Label      string   `json:"label,omitempty"`
	Signatures []string `json:"signatures,omitempty"`
}

func ofSurvey(s session.Survey) Survey {
	return Survey{Age: s.Age, Disks: each(s.Disks, func(c session.Content) Content {
		return Content{Disk: ofDiskID(c.Disk), Table: c.Table, TableID: c.TableID, Doubt: c.Doubt, More: c.More,
			Starts: c.Starts, Used: c.Used, Problem: c.Problem,
			Partitions: each(c.Partitions, func(p session.PartitionContent) PartitionContent {
				return PartitionContent(p)
			})}
	})}
}

func (s Survey) survey() session.Survey {
	return session.Survey{Age: s.Age, Disks: each(s.Disks, func(c Content) session.Content {
		return session.Content{Disk: c.Disk.disk(), Table: c.Table, TableID: c.TableID, Doubt: c.Doubt, More: c.More,
			Starts: c.Starts, Used: c.Used, Problem: c.Problem,
			Partitions: each(c.Partitions, func(p PartitionContent) session.PartitionContent {
				return session.PartitionContent(p)
			})}
	})}
}
