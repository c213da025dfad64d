package cmd

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/doctor"
)

// ears are a server's receivers.
type ears struct {
	*client.Client
	all    []doc.NotifyReceiver
	heard  []string
	refuse error
}

func (e *ears) Receivers(context.Context) ([]doc.NotifyReceiver, error) { return e.all, nil }

func (e *ears) TellFinding(_ context.Context, f doc.NotifyFinding) error {
	if e.refuse == nil {
		e.heard = append(e.heard, f.Finding+": "+f.Title+": "+f.Text)
	}
	return e.refuse
}

// TestTellFindings tells findings, and fails where nobody hears them.
func TestTellFindings(t *testing.T) {
	seen := &doctor.Report{Looks: []doc.DoctorLook{{
		Found: []doctor.Finding{{ID: "a", What: "b", Cause: "c", Mend: "d"}}}}}
	asks := []doc.NotifyReceiver{{Name: "x", Kinds: []string{doc.WordEnded}},
		{Name: "y", Kinds: []string{doc.WordFinding}}}
	told := &ears{all: asks}
	for _, c := range []struct {
		s    *doctor.Subject
		r    *doctor.Report
		want string
	}{
		{&doctor.Subject{Server: told}, seen, ""},
		{&doctor.Subject{Away: "refused"}, &doctor.Report{}, ""},
		{&doctor.Subject{Away: "refused"}, seen, "does not answer (refused)"},
		{&doctor.Subject{Server: &ears{all: asks[:1]}}, seen, "no receiver of [notify]"},
		{&doctor.Subject{Server: &ears{all: asks, refuse: errors.New("full")}}, seen, "finding a is not told: full"},
	} {
		err := tellFindings(t.Context(), c.s, c.r)
		if c.want == "" && err != nil ||
			c.want != "" && (err == nil || ExitCode(err) != exitFailed || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%v; want %q", err, c.want)
		}
	}
	if !slices.Equal(told.heard, []string{"a: b: c\nd"}) {
		t.Errorf("heard %q", told.heard)
	}
}
