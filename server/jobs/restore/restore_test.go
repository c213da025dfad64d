package restore_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/receipt"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
	"github.com/diskcast/diskcast/server/jobs/kinds"
	"github.com/diskcast/diskcast/server/jobs/restore"
)

var kind restore.Kind

func TestCheck(t *testing.T) {
	for want, spec := range map[string]doc.Spec{
		"":                     {V: 1, Image: "debian", All: true},
		"no image named":       {V: 1, All: true},
		"are of a capture":     {V: 1, Image: "debian", All: true, Level: "fast"},
		"has no job":           {V: 1, Image: "debian", All: true, Job: []byte("{}")},
		`unknown mode "quick"`: {V: 1, Image: "debian", All: true, Mode: "quick"},
		"line break": {V: 1, Image: "debian", All: true,
			Boot: &session.Boot{Method: session.BootKexec, Append: "a\nb"}},
		"say which nodes":         {V: 1, Image: "debian"},
		"unknown document":        {V: 2, Image: "debian", All: true},
		"not in 0..1":             {V: 1, Image: "debian", Count: 1, MinNodes: 2},
		`of the kind "something"`: {V: 1, Kind: "something", All: true},
	} {
		k, err := kinds.All().Check(&spec)
		switch {
		case want == "" && (err != nil || k != jobs.Kind(kind) || spec.Boot.Method != session.BootKexec):
			t.Errorf("%+v: %v, %v", spec, k, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%+v: %v, want %q", spec, err, want)
		}
	}
}

// TestLeftBelievesNoGap: what a node told of its disk is not believed where a step before it lacks.
func TestLeftBelievesNoGap(t *testing.T) {
	plan, written, verified, entry := session.StepPlan, session.StepWritten, session.StepVerified, session.StepEntry
	for _, c := range []struct {
		verify bool
		steps  []string
		want   string
	}{
		{false, []string{written}, `never reported the step "plan": do not count on`},
		{false, []string{entry}, `never reported the step "plan": do not count on`},
		{false, []string{plan, entry}, `never reported the step "written": do not count on`},
		{true, []string{plan, written, entry}, `never reported the step "verified": do not count on`},
		{true, nil, `never reported the step "plan": do not count on`}, // and the server saw a sign of life
		{false, []string{plan, written}, "has the whole image"},
		{true, []string{plan, written, verified, entry}, "has the whole image"},
		{true, []string{plan, written, verified}, "has the whole image"},
	} {
		s := &jobs.Session{Kind: kind}
		s.Spec.Verify = c.verify
		p := &doc.Part{State: doc.Failed, Boots: 1, Joined: time.Unix(1, 0), Steps: map[string]doc.Mark{},
			Disk: &session.DiskID{Size: 1 << 30}}
		if c.steps == nil {
			p.Life = &doc.Life{}
		}
		for _, step := range c.steps {
			p.Steps[step] = doc.Mark{}
		}
		if got := kind.Left(s, p); !strings.Contains(got, c.want) || strings.Contains(got, "may start") != (c.want ==
			"has the whole image" && !slices.Contains(c.steps, entry)) {
			t.Errorf("%v: %q, want %q", c.steps, got, c.want)
		}
		if _, ok := p.Steps[written]; !ok {
			continue
		}
		p.Disk = nil
		for _, left := range []string{kind.Left(s, p), restore.Partition{}.Left(s, p)} {
			if strings.Contains(left, "has the whole image") {
				t.Errorf("%v, of no disk: %q", c.steps, left)
			}
		}
		p.Disk = &session.DiskID{Size: 1 << 30}
		got := restore.Partition{}.Left(s, p)
		if !strings.Contains(got, c.want) || !strings.Contains(got, "the rest of the disk is as it was") {
			t.Errorf("partition, %v: %q, want %q", c.steps, got, c.want)
		}
	}
}

// TestNotPersonalized says what is known: that the node did not tell of the step, and not why.
func TestNotPersonalized(t *testing.T) {
	s := &jobs.Session{Kind: kind}
	s.Spec.Personalize = []byte(`{"hostname":"a"}`)
	p := &doc.Part{Disk: &session.DiskID{Size: 1}, Steps: map[string]doc.Mark{session.StepPlan: {},
		session.StepWritten: {}}}
	for _, left := range []string{kind.Left(s, &doc.Part{Boots: 1, Joined: time.Unix(1, 0), Disk: p.Disk,
		Steps: p.Steps}), restore.Disks{}.Left(s, &doc.Part{Boots: 1, Joined: time.Unix(1, 0), Disk: p.Disk,
		Steps: p.Steps})} {
		if !strings.Contains(left, "not the machine's own identity") {
			t.Errorf("%q is left", left)
		}
	}
	out := kind.Report(s, p, &jobs.Reported{Event: &session.Event{Step: session.StepBoot, Level: session.Info}})
	if out.Done || !strings.Contains(out.Failed, "never said that it personalized") ||
		strings.Contains(out.Failed, "its agent is older") {
		t.Errorf("%+v", out)
	}
}

func TestReport(t *testing.T) {
	s := &jobs.Session{Kind: kind}
	s.Spec.Boot = &session.Boot{Method: session.BootKexec}
	p := &doc.Part{Unbootable: "foreseen"}
	report := func(step, level, words string, chunk *int) jobs.Outcome {
		return kind.Report(s, p,
			&jobs.Reported{Event: &session.Event{Step: step, Level: level, Message: words, Chunk: chunk}})
	}
	if out := report(session.StepChunk, session.Warn, "its hash is wrong", new(-5)); !out.Remark ||
		out.Suspect == nil || *out.Suspect != -1 ||
		p.Warning != "its hash is wrong" {
		t.Errorf("a chunk: %+v, %+v", out, p)
	}
	if out := report(session.StepMulticast, session.Info, "it arrives again", nil); !out.Remark || p.Warning != "" {
		t.Errorf("a good word of the cast: %+v, %+v", out, p)
	}
	report(session.StepGrown, session.Warn, "not grown", nil)
	if kind.Complete(s, p) {
		t.Error("complete without a word of the boot entry")
	}
	p.Steps = map[string]doc.Mark{session.StepEntry: {}, session.StepPlan: {}}
	if report(session.StepEntry, session.Warn, "not the first", nil); p.Unbootable != "" ||
		p.Warning != "not grown; not the first" || kind.Complete(s, p) {
		t.Errorf("a boot entry: %+v", p)
	}
	if out := report(session.StepBoot, session.Info, "", nil); out.Done || !strings.Contains(out.Failed, `"written"`) {
		t.Errorf("done without a word of what was written: %+v", out)
	}
	p.Steps[session.StepWritten] = doc.Mark{}
	s.Spec.Verify = true
	if out := report(session.StepBoot, session.Info, "", nil); out.Done || kind.Complete(s, p) ||
		!strings.Contains(out.Failed, `"verified"`) {
		t.Errorf("done without a word of what was read back: %+v", out)
	}
	p.Steps[session.StepVerified] = doc.Mark{}
	if out := report(session.StepBoot, session.Info, "", nil); out.Done || kind.Complete(s, p) ||
		!strings.Contains(out.Failed, "never said which of its disks") {
		t.Errorf("done without a word of which disk: %+v", out)
	}
	p.Disk = &session.DiskID{Size: 1 << 30}
	if out := report(session.StepBoot, session.Error, "nothing starts", nil); !out.Done || !out.Leaves ||
		p.Unbootable != "nothing starts" {
		t.Errorf("the last step: %+v, %+v", out, p)
	}
	s.Spec.Boot.Method = session.BootStay
	if out := report(session.StepBoot, session.Info, "", nil); !out.Done || out.Leaves {
		t.Errorf("the last step of a node that stays: %+v", out)
	}
}

// TestReason counts who has the image among all nodes, however few of the others it names.
func TestReason(t *testing.T) {
	s := &jobs.Session{Kind: kind, Parts: map[string]*doc.Part{}}
	var bad []string
	for i := range 12 {
		p := &doc.Part{Node: fmt.Sprint("n", i), State: doc.Failed, Reason: "no disk"}
		if i < 4 {
			p.State, p.Reason = doc.Done, ""
		} else {
			bad = append(bad, p.Node+": "+p.Reason)
		}
		s.Add(p)
	}
	s.Parts["n1"].Unbootable = "it starts by BIOS"
	want := "4 of 12 nodes have the image; n4: no disk; n5: no disk; n6: no disk; n7: no disk; n8: no disk; and 3 " +
		"more; " +
		"1 of 12 nodes will not start by themselves: n1: it starts by BIOS"
	if got := kind.Reason(s, bad); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if len(bad) != 8 {
		t.Error("the list of the others was cut")
	}
	if got := kind.Reason(s, nil); got != "1 of 12 nodes will not start by themselves: n1: it starts by BIOS" {
		t.Errorf("all are done: %s", got)
	}
}

// TestReceiptOfVerify says "read back" only of what the node told that it read back.
func TestReceiptOfVerify(t *testing.T) {
	s := &jobs.Session{Kind: kind}
	s.Spec.Verify = true
	p := &doc.Part{Steps: map[string]doc.Mark{session.StepPlan: {}, session.StepWritten: {}}}
	for _, verified := range []bool{false, true} {
		if verified {
			p.Steps[session.StepVerified] = doc.Mark{}
		}
		r := &receipt.Receipt{Result: receipt.Done}
		if kind.Account(s, p, r); strings.Contains(r.Verified, "gave it back") != verified {
			t.Errorf("verified: %v, and the receipt says %q", verified, r.Verified)
		}
	}
}
