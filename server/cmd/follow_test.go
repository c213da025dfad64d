package cmd

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// Following one session ends with it; the lines have cursors, and from any of them one goes on.
func TestFollow(t *testing.T) {
	o := newOffice(t)
	id := strings.TrimSpace(o.must("create", "--image", "debian", "--nodes", o.node))
	o.restored(id, session.Info, session.Info)
	code, out, errs := o.run("watch", "--session", id)
	if code != 0 || !strings.Contains(out, "session "+id+" done") {
		t.Errorf("words: %d %s%s", code, out, errs)
	}
	lines := func(args ...string) (got []doc.Line) {
		t.Helper()
		code, out, errs := o.run(append([]string{"watch", "--session", id, "--json"}, args...)...)
		if code != 0 {
			t.Fatalf("%v: %d %s", args, code, errs)
		}
		for text := range strings.Lines(out) {
			var l doc.Line
			if err := json.Unmarshal([]byte(text), &l); err != nil {
				t.Fatalf("%v: %q: %v", args, text, err)
			}
			got = append(got, l)
		}
		return got
	}
	all := lines()
	last := all[len(all)-1]
	if last.Session == nil || last.Session.State != doc.Done || last.Cursor == "" {
		t.Errorf("the last line: %+v", last)
	}
	if after := lines("--after", last.Cursor); len(after) != 1 || after[0].Session == nil {
		t.Errorf("after the last line: %+v", after)
	}
	// A cursor of a server that is gone: a line says that something is missing, and then comes the state that is.
	if lost := lines("--after", "gone-1"); lost[0].Type != doc.LineLost || lost[len(lost)-1].Session == nil {
		t.Errorf("after a restart: %+v", lost)
	}
	if code, _, errs := o.run("watch", "--after", "nonsense"); code != exitFailed || !strings.Contains(errs, "cursor") {
		t.Errorf("no cursor: %d %s", code, errs)
	}
	if code, _, _ := o.run("watch", "--node", "nonsense"); code != exitFailed {
		t.Errorf("no machine: %d", code)
	}
}

// What is printed of a machine is printed when it changes, and not for each word that it says.
func TestFollowWords(t *testing.T) {
	var b strings.Builder
	w := newLineWatcher(&b)
	node := func(where, sess string) doc.Line {
		return doc.Line{Type: doc.LineSighting, Sighting: &doc.Node{ID: "m1", Where: where, Session: sess}}
	}
	for _, l := range []doc.Line{
		node("agent", ""), node("agent", ""), node("agent", "s1"), {Type: doc.LineLive, Cursor: "e-3"},
		{Type: doc.LineSession, Session: &doc.Session{ID: "s1", State: doc.Casting,
			Warnings: []string{"It is odd. At length."}}},
		{Type: doc.LineSession, Session: &doc.Session{ID: "s1", State: doc.Casting,
			Warnings: []string{"It is odd. At other length."}}},
		{Type: doc.LineSession, Session: &doc.Session{ID: "s2", State: doc.Casting,
			Warnings: []string{"It is odd. At length."}}},
		{Type: doc.LineLost}, {Type: doc.LineSighting, Gone: "m1"},
	} {
		if err := w.line(&l); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for text := range strings.Lines(b.String()) {
		_, words, _ := strings.Cut(strings.TrimSpace(text), " ") // the time
		got = append(got, words)
	}
	want := []string{"m1 agent", "m1 agent, session s1", "session s1 warning: It is odd. At length.",
		"session s1 casting", "session s2 warning: It is odd. At length.", "session s2 casting",
		"events were lost here; what follows is how things are now", "sighting m1 is forgotten"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
