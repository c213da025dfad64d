package restore_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/receipt"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
	"github.com/diskcast/diskcast/server/jobs/kinds"
	"github.com/diskcast/diskcast/server/jobs/restore"
)

func TestCheckPartition(t *testing.T) {
	two := json.RawMessage(`{"v":1,"number":2}`)
	for want, spec := range map[string]doc.Spec{
		"":                   {V: 1, Kind: session.RestorePartition, Image: "root", All: true, Job: two},
		"no image named":     {V: 1, Kind: session.RestorePartition, All: true, Job: two},
		"names no partition": {V: 1, Kind: session.RestorePartition, Image: "root", All: true},
		"a partition is named by": {V: 1, Kind: session.RestorePartition, Image: "x", All: true,
			Job: []byte(`{"v":1}`)},
		"name one of the two": {V: 1, Kind: session.RestorePartition, Image: "root", Capture: "x", All: true,
			Job: two},
	} {
		k, err := kinds.All().Check(&spec)
		switch {
		case want == "" && (err != nil || k.Traits().Action != session.RestorePartition || !k.Traits().Writes ||
			string(spec.Job) != string(two)):
			t.Errorf("%+v: %v, %v", spec, k, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%+v: %v, want %q", spec, err, want)
		}
	}
	gaps := doc.Spec{V: 1, Kind: session.CapturePartition, Capture: "root", Count: 1, Job: two, DropGaps: true}
	if _, err := kinds.All().Check(&gaps); err == nil || !strings.Contains(err.Error(), "drop_gaps") {
		t.Errorf("gaps of a partition: %v", err)
	}
	spec := doc.Spec{V: 1, Kind: session.CapturePartition, Capture: "root", Count: 1, Job: two}
	if k, err := kinds.All().Check(&spec); err != nil || k.Traits().Action != session.CapturePartition ||
		spec.Boot.Method != session.BootStay {
		t.Errorf("a capture: %v, %v", k, err)
	}
}

// TestPartitionReceipt names the partition and its bytes; a node that writes another one than was asked for has failed.
func TestPartitionReceipt(t *testing.T) {
	s := &jobs.Session{Kind: restore.Partition{}}
	s.Spec.Job, s.Image = []byte(`{"v":1,"number":2}`), session.Image{Name: "root", Manifest: "sha256:1"}
	p := &doc.Part{Steps: map[string]doc.Mark{session.StepPlan: {}}, Disk: &session.DiskID{Size: 1 << 30}}
	plan := func(result string) jobs.Outcome {
		return s.Kind.Report(s, p, &jobs.Reported{Event: &session.Event{Step: session.StepPlan, Level: session.Info,
			Result: json.RawMessage(result)}})
	}
	for _, bad := range []string{``, `{"v":1,"number":3,"start":1048576,"size":4096}`, `{"v":1,"number":2}`} {
		r := &receipt.Receipt{}
		out := plan(bad)
		if s.Kind.(jobs.Accountant).Account(s, p, r); out.Failed == "" || len(r.Left) != 1 ||
			!strings.Contains(r.Left[0], "was not told") {
			t.Errorf("%q: %+v, %+v", bad, out, r)
		}
	}
	if out := plan(`{"v":1,"number":2,"start":1048576,"size":4096}`); out != (jobs.Outcome{}) {
		t.Fatalf("%+v", out)
	}
	r := &receipt.Receipt{Result: receipt.Done}
	s.Kind.(jobs.Accountant).Account(s, p, r)
	if r.Method != "restore-partition" || len(r.Left) != 1 ||
		!strings.Contains(r.Left[0], "partition 2 (4096 bytes from byte 1048576)") ||
		!strings.Contains(string(r.Details), `"start":1048576,"size":4096`) {
		t.Errorf("%+v, details %s", r, r.Details)
	}
}
