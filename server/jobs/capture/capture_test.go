package capture_test

import (
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
	"github.com/diskcast/diskcast/server/jobs/capture"
	"github.com/diskcast/diskcast/server/jobs/kinds"
)

var kind capture.Kind

func TestCheck(t *testing.T) {
	one := []string{"52:54:00:00:00:01"}
	for want, spec := range map[string]doc.Spec{
		"":                          {V: 1, Capture: "golden", Nodes: one},
		"name one of the two":       {V: 1, Capture: "golden", Image: "debian", Nodes: one},
		"reads one node's disk":     {V: 1, Capture: "golden", All: true},
		"are of a restore":          {V: 1, Capture: "golden", Nodes: one, Verify: true},
		"parent's name is too long": {V: 1, Capture: "golden", Nodes: one, Parent: strings.Repeat("x", 301)},
		"has no job":                {V: 1, Capture: "golden", Nodes: one, Job: []byte("{}")},
		"nothing that kexec could": {V: 1, Capture: "golden", Nodes: one,
			Boot: &session.Boot{Method: session.BootKexec}},
		"none of fast, default, sma": {V: 1, Capture: "golden", Nodes: one, Level: "best"},
	} {
		k, err := kinds.All().Check(&spec)
		switch {
		case want == "" && (err != nil || k != jobs.Kind(kind) || spec.Boot.Method != session.BootStay ||
			spec.Level != image.Default):
			t.Errorf("%+v: %v, %v", spec, k, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%+v: %v, want %q", spec, err, want)
		}
	}
}

func TestReport(t *testing.T) {
	s := &jobs.Session{Kind: kind}
	s.Spec.Boot = &session.Boot{Method: session.BootStay}
	p := &doc.Part{Progress: &session.Progress{ToRead: 40 << 20}}
	report := func(step string, free int64) jobs.Outcome {
		return kind.Report(s, p, &jobs.Reported{Event: &session.Event{Step: step, Level: session.Info}, Free: free})
	}
	for free, want := range map[int64]string{-1: "", 41 << 20: "",
		10 << 20: "The image may not fit, for the disk has 40.0 MiB in use and the image store 10.0 MiB free."} {
		if out := report(session.StepPlan, free); out != (jobs.Outcome{}) || p.Warning != want {
			t.Errorf("%d bytes free: %+v, %q", free, out, p.Warning)
		}
	}
	if out := report(session.StepUploaded, -1); out.Done || !strings.Contains(out.Failed, "no such image") ||
		kind.Complete(s, p) {
		t.Errorf("stored, by the node's word alone: %+v", out)
	}
	s.Image.Manifest = "sha256:1"
	if out := report(session.StepUploaded, -1); out.Done || !strings.Contains(out.Failed, "which of its disks") ||
		kind.Complete(s, p) {
		t.Errorf("stored, and of no disk that it named: %+v", out)
	}
	p.Disk, p.Steps = &session.DiskID{Size: 1 << 30}, map[string]doc.Mark{session.StepPlan: {}}
	if out := report(session.StepUploaded, -1); !out.Done || !out.Free || out.Leaves || !kind.Complete(s, p) {
		t.Errorf("stored: %+v", out)
	}
	s.Spec.Boot.Method = session.BootPoweroff
	if out := report(session.StepUploaded, -1); !out.Done || out.Free || !out.Leaves {
		t.Errorf("stored, and it leaves: %+v", out)
	}
	if kind.Refuse(&jobs.Facts{}) != "" ||
		!strings.Contains(kind.Refuse(&jobs.Facts{Doubt: "another board"}), "another board") {
		t.Error("a node that may be another one")
	}
}
