package erase

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/erasure"
	"github.com/diskcast/diskcast/internal/session"
)

func TestJob(t *testing.T) {
	d := session.Descriptor{Session: "e", Serial: 1, Action: erasure.Action}
	var got erasure.Spec
	failed := errors.New("the disk is frozen")
	action := func(raw string) error {
		d := d
		d.Job = json.RawMessage(raw)
		return Action(func(_ context.Context, _ *session.Descriptor,
			s erasure.Spec) error {
			got = s
			return failed
		})(&d).Run(t.Context())
	}
	if err := action(`{"method": "overwrite", "passes": 2, "pattern": "aa55", "read_back": "all"}`); !errors.Is(err,
		failed) {
		t.Error(err)
	}
	if want := (erasure.Spec{Method: erasure.Overwrite, ReadBack: erasure.ReadAll, Passes: 2,
		Pattern: "aa55"}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	for raw, want := range map[string]string{
		``: "cannot be read", `{"method": "zero"} {}`: "something follows",
		`{"method": "zero", "force": true}`: "cannot " +
			"be read",
		`{"method": "shred"}`: "is none of",
	} {
		if err := action(raw); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v; want %q", raw, err, want)
		}
	}
	j := &job{d: &d}
	for _, c := range []struct {
		nd   session.Descriptor
		want bool
	}{{session.Descriptor{Session: "e", Serial: 2, Action: erasure.Action}, true}, {session.Descriptor{Session: "f",
		Action: erasure.Action},
		false},
		{session.Descriptor{Session: "e", Action: session.Restore}, false}, {session.Descriptor{Action: session.Idle},
			false}} {
		if got := j.Takes(&c.nd, false); got != c.want {
			t.Errorf("%+v: %v", c.nd, got)
		}
	}
}

// TestResultFits keeps the longest result within what an event may carry.
func TestResultFits(t *testing.T) {
	d := withNVMe(newDisk())
	for id := uint32(2); id <= 1024; id++ {
		d.nvme.namespaces = append(d.nvme.namespaces, id)
	}
	d.refuses = map[int64]bool{0: true}
	w := newWorld(t, d)
	w.disks[0].Model, w.disks[0].Serial, w.disks[0].WWN = strings.Repeat("m", 256), "", strings.Repeat("w", 256)
	res, err := w.erase(erasure.Spec{Method: erasure.Overwrite})
	if err == nil {
		t.Fatal("a bad sector is no failure")
	}
	text, err := json.Marshal(res)
	if err != nil || len(text) > session.MaxResult/2 {
		t.Errorf("%d bytes, %v: %s", len(text), err, text)
	}
	if w.result == nil || w.result.Failure != res.Failure {
		t.Errorf("reported: %+v", w.result)
	}
}
