package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Actions on one partition. They have names of their own, and a Job: an agent from before them would take a restore of
// a partition for one of the whole disk, and refuses these in words.
const (
	RestorePartition = "restore-partition" // write an image into one partition; table and other partitions stay
	CapturePartition = "capture-partition" // read one partition, upload it as an image
)

// PartitionVersion is the version of PartitionJob and of PartitionResult.
const PartitionVersion = 1

// PartitionBy names one partition of a disk; exactly one field is set.
type PartitionBy struct {
	Number int    `json:"number,omitempty"` // as Linux numbers it, from 1
	Name   string `json:"name,omitempty"`   // in the GPT
	UUID   string `json:"uuid,omitempty"`   // PARTUUID, lower case
}

// PartitionJob is Descriptor.Job of an action on one partition.
type PartitionJob struct {
	V int `json:"v"`
	PartitionBy
}

// PartitionResult is Event.Result of StepPlan: which bytes of the disk the partition is.
type PartitionResult struct {
	V      int    `json:"v"`
	Number int    `json:"number"`
	Start  int64  `json:"start"` // bytes
	Size   int64  `json:"size"`  // bytes
	UUID   string `json:"uuid,omitempty"`
}

// maxPartition bounds a partition's number: more than any kernel makes devices of.
const maxPartition = 4096

// ParsePartition reads what an operator writes: 2, name=root, or uuid=PARTUUID.
func ParsePartition(s string) (PartitionBy, error) {
	var by PartitionBy
	key, value, has := strings.Cut(s, "=")
	switch {
	case has && key == "name":
		by.Name = value
	case has && key == "uuid":
		by.UUID = strings.ToLower(value)
	case !has:
		n, err := strconv.Atoi(s)
		if err != nil {
			return by, fmt.Errorf("partition %q is neither a number nor name=NAME or uuid=PARTUUID", s)
		}
		by.Number = n
	default:
		return by, fmt.Errorf("partition %q is neither a number nor name=NAME or uuid=PARTUUID", s)
	}
	return by, by.check()
}

// String is what ParsePartition reads.
func (b PartitionBy) String() string {
	switch {
	case b.Name != "":
		return "name=" + b.Name
	case b.UUID != "":
		return "uuid=" + b.UUID
	}
	return strconv.Itoa(b.Number)
}

func (b PartitionBy) check() error {
	set := 0
	for _, is := range []bool{b.Number != 0, b.Name != "", b.UUID != ""} {
		if is {
			set++
		}
	}
	switch {
	case set != 1:
		return errors.New("a partition is named by its number (from 1), by name=NAME or by uuid=PARTUUID")
	case b.Number < 0 || b.Number > maxPartition:
		return fmt.Errorf("partition %d is not in 1..%d", b.Number, maxPartition)
	case len(b.Name) > 256 || !utf8.ValidString(b.Name) || len(b.UUID) > 64:
		return errors.New("the partition's name is too long, or no text")
	}
	return nil
}

// ParsePartitionJob reads a job.
func ParsePartitionJob(raw json.RawMessage) (*PartitionJob, error) {
	j := &PartitionJob{}
	if err := json.Unmarshal(raw, j); err != nil {
		return nil, fmt.Errorf("the job names no partition: %w", err)
	}
	if j.V != PartitionVersion {
		return nil, fmt.Errorf("the job: %w: v=%d, this program speaks v=%d", ErrVersion, j.V, PartitionVersion)
	}
	return j, j.check()
}

// ParsePartitionResult reads what a node says of the partition.
func ParsePartitionResult(raw json.RawMessage) (*PartitionResult, error) {
	r := &PartitionResult{}
	if err := json.Unmarshal(raw, r); err != nil {
		return nil, err
	}
	switch {
	case r.V != PartitionVersion:
		return nil, fmt.Errorf("%w: v=%d, this program speaks v=%d", ErrVersion, r.V, PartitionVersion)
	case r.Number < 1 || r.Number > maxPartition || r.Start <= 0 || r.Size <= 0 || len(r.UUID) > 64:
		return nil, fmt.Errorf("partition %d, %d bytes from %d, is none", r.Number, r.Size, r.Start)
	}
	return r, nil
}

// restores and captures say what an action does, to a disk or to one partition.
func restores(action string) bool {
	return action == Restore || action == RestorePartition || action == RestoreDisks
}

func captures(action string) bool { return action == Capture || action == CapturePartition }

// OfPartition reports whether the descriptor is about one partition of the disk.
func (d *Descriptor) OfPartition() bool {
	return d.Action == RestorePartition || d.Action == CapturePartition
}
