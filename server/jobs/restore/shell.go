package restore

import (
	"encoding/json"
	"errors"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/rescue"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
)

// checkShell looks at who may come in before the machine starts what was restored, and fills in what was left out.
func checkShell(b *session.Boot) error {
	if b.Method != session.BootShell {
		if len(b.Shell) > 0 {
			return errors.New("a shell's keys and time go with the way of leaving shell (--then shell)")
		}
		return nil
	}
	if len(b.Shell) == 0 {
		b.Shell = json.RawMessage("{}")
	}
	spec, err := rescue.ParseSpec(b.Shell)
	if err != nil {
		return err
	}
	b.Shell, err = json.Marshal(spec)
	return err
}

// opened takes in that the node's shell is open: its disk is written by then, and the machine has its boot entry.
func opened(s *jobs.Session, p *doc.Part, ev *session.Event) jobs.Outcome {
	if !s.GivesShell() {
		return jobs.Outcome{Failed: "the node says that it has opened a shell, and was asked for none: its agent is " +
			"broken"}
	}
	if why := lacks(s, p); why != "" {
		return jobs.Outcome{Failed: why}
	}
	if _, entered := p.Steps[session.StepEntry]; !entered || !personalized(s, p) {
		return jobs.Outcome{Failed: "the node says that its shell is open, and never said that the system is this " +
			"machine's own and has its boot entry: `diskcast node log` shows what it told; restore it again"}
	}
	o, err := rescue.ParseOpened(ev.Result)
	if err == nil {
		p.Shell, err = json.Marshal(o)
	}
	if err != nil {
		return jobs.Outcome{Failed: "the node says that its shell is open, and where cannot be read: " +
			plain.Line(err.Error(), 1024)}
	}
	return jobs.Outcome{}
}

// lacksShell says in words that the shell which was asked for was not there, or is not closed; empty for neither.
func lacksShell(s *jobs.Session, p *doc.Part) string {
	const look = ": `diskcast node log` shows what it told. The disk has the image"
	_, closed := p.Steps[rescue.StepClosed]
	switch {
	case !s.GivesShell():
	case len(p.Shell) == 0:
		return "the node says that it is done, and never gave the shell that was asked for" + look
	case !closed:
		return "the node says that it is done, and never said that its shell is closed" + look
	}
	return ""
}

// touched is said wherever it is said what is on a disk: somebody may have changed it since it was written.
const touched = "a shell was open on the machine after that: what was done in it is not known here"

// sinceThen adds to what is said of a disk that somebody may have changed it.
func sinceThen(p *doc.Part, words string) string {
	if len(p.Shell) == 0 {
		return words
	}
	return words + "; " + touched
}
