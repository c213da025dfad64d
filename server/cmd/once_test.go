package cmd

import (
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/session"
)

// TestFailureIsToldOnce watches a session that fails: the words of its cause stand at the node that failed and in the
// command's last word, and nowhere else.
func TestFailureIsToldOnce(t *testing.T) {
	o := newOffice(t)
	o.hello("b", "10.0.0.5")
	id := strings.TrimSpace(o.must("create", "--image", "debian", "--nodes", o.node))
	const cause = "the disk has 100 MB, and the image needs 200"
	for i, ev := range []session.Event{{Step: session.StepPlan}, {Step: session.StepFailed, Message: cause}} {
		ev.Seq, ev.Session = uint64(i+1), id
		if err := o.e.Events(t.Context(), o.node,
			&session.Events{V: 1, Boot: "b", Events: []session.Event{ev}}); err != nil {
			t.Fatal(err)
		}
	}
	code, out, said := o.run("session", "watch", id)
	if code != exitSession || strings.Count(said, cause) != 1 {
		t.Errorf("exit code %d, it ends with %q", code, said)
	}
	if n := strings.Count(out, cause); n > 2 { // at the node, and in its timeline
		t.Errorf("the cause is told %d times more:\n%s", n, out)
	}
	if show := o.must("show", id); !strings.Contains(show, cause) {
		t.Errorf("session show does not say it:\n%s", show)
	}
}
