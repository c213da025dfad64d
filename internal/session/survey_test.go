package session

import (
	"encoding/json"
	"testing"
)

// TestBoundSurvey leaves of a survey only what can be on the disks that the inventory has.
func TestBoundSurvey(t *testing.T) {
	disk := Disk{Path: "/dev/sda", Size: 1000, Serial: "one"}
	inv := Inventory{Disks: []Disk{disk}, Survey: &Survey{Age: -3, Disks: []Content{
		{Disk: DiskID{Size: 1000, Serial: "another"}},
		{Disk: disk.ID(), Starts: make([]string, 20), Partitions: []PartitionContent{
			{Number: 1, Start: 10, Size: 990}, {Number: 2, Start: 11, Size: 990}, {Number: -1, Size: 1},
			{Number: 3, Start: -1, Size: 1}, {Number: 4, Size: -1}, {Number: 5, Start: 1 << 62, Size: 1 << 62}}},
		{Disk: disk.ID(), Table: "gpt"},
	}}}
	inv.BoundSurvey()
	s := inv.Survey
	if s.Age != 0 || len(s.Disks) != 1 || len(s.Disks[0].Partitions) != 1 || s.Disks[0].Partitions[0].Number != 1 ||
		len(s.Disks[0].Starts) != MaxSurveyStarts || s.Of(&disk) == nil {
		t.Errorf("%+v", s)
	}
	for range 2 * MaxSurveyPartitions {
		s.Disks[0].Partitions = append(s.Disks[0].Partitions, PartitionContent{Number: 7, Size: 1})
	}
	inv.BoundSurvey()
	if c := s.Disks[0]; len(c.Partitions) != MaxSurveyPartitions || c.More != MaxSurveyPartitions+1 {
		t.Errorf("%d partitions, %d more", len(c.Partitions), c.More)
	}
	if s.Of(&Disk{Size: 1000}) != nil || (*Survey)(nil).Of(&disk) != nil {
		t.Error("something is known of a disk that nothing was told of")
	}
}

// TestContentPartition finds a partition by what names it, and none where two have the name.
func TestContentPartition(t *testing.T) {
	c := Content{Partitions: []PartitionContent{{Number: 1, Name: "a", UUID: "u1"}, {Number: 2, Name: "b"},
		{Number: 3, Name: "b"}, {Number: 0, Name: "disk"}}}
	for by, want := range map[PartitionBy]int{{Number: 2}: 2, {Name: "a"}: 1, {UUID: "u1"}: 1, {Name: "b"}: 0,
		{Number: 9}: 0, {Name: "disk"}: 0, {}: 0} {
		got := 0
		if p := c.Partition(by); p != nil {
			got = p.Number
		}
		if got != want {
			t.Errorf("%+v: partition %d, want %d", by, got, want)
		}
	}
}

// FuzzSurvey bounds whatever a stranger says.
func FuzzSurvey(f *testing.F) {
	f.Add([]byte(`{"disks":[{"path":"/dev/sda","size":9}],"survey":{"age":1e300,"disks":[{"disk":{"size":9},
		"more":-5,"partitions":[{"number":1,"start":3,"size":6,"signatures":["a"]}]}]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var inv Inventory
		if json.Unmarshal(text, &inv) != nil {
			return
		}
		inv.BoundSurvey()
		if inv.Survey == nil {
			return
		}
		if s := inv.Survey; s.Age < 0 || s.Age > maxSurveyAge || len(s.Disks) > len(inv.Disks) {
			t.Fatalf("%+v", s)
		}
		for i := range inv.Survey.Disks {
			c := &inv.Survey.Disks[i]
			if len(c.Partitions) > MaxSurveyPartitions || len(c.Starts) > MaxSurveyStarts || c.More < 0 {
				t.Fatalf("%+v", c)
			}
			for _, p := range c.Partitions {
				if p.Start < 0 || p.Size < 0 || p.Start+p.Size > c.Disk.Size ||
					len(p.Signatures) > maxSurveySignatures {
					t.Fatalf("%+v on a disk of %d bytes", p, c.Disk.Size)
				}
			}
		}
	})
}
