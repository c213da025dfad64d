package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/session"
)

// uinitLog is where uinit keeps what it and each run of the agent said.
const uinitLog = "/var/log/agent.log"

// Bounds in bytes: what of the log is looked at, and what the server is told of it.
const (
	logTail  = 64 << 10
	runWords = 6 << 10
)

// tellEarlier tells the server what it could not be told: what uinit warned of before there was an agent, and, of an
// agent that fell, its last words.
func (a *agent) tellEarlier(path string) {
	if a.o.noBoot {
		return // there is no uinit
	}
	text, err := tail(path)
	if err != nil {
		a.log.Warn("what was said before this agent began is not known", "err", err)
		return
	}
	lines, fell := earlier(text)
	if fell {
		a.events.Log(session.Warn, "the agent of this node ended before, and was started again; what was said before "+
			"that follows")
	}
	a.tellWords("before", lines)
}

// tail reads the end of a file, from a line's begin on; nothing of one that is not there.
func tail(path string) (string, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", err
	}
	from := max(st.Size()-logTail, 0)
	b, err := io.ReadAll(io.NewSectionReader(f, from, logTail))
	if err != nil {
		return "", err
	}
	text := string(b)
	if from > 0 {
		_, text, _ = strings.Cut(text, "\n")
	}
	return text, nil
}

// earlier picks, of the log, the end of what was said before the last time that the agent ended, and else uinit's
// warnings. fell says which.
func earlier(text string) (lines []string, fell bool) {
	all := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	end := 0 // behind the line that says that the agent ended
	for i, l := range all {
		if strings.Contains(l, "at=uinit") && strings.Contains(l, `msg="the agent ended"`) {
			end = i + 1
		}
	}
	size := 0
	for i := len(all) - 1; i >= 0 && size < runWords; i-- {
		l := plain.Line(all[i], 1000)
		warns := strings.Contains(l, "at=uinit") && (strings.Contains(l, "level=WARN") ||
			strings.Contains(l, "level=ERROR"))
		if i < end || end == 0 && warns {
			if size += len(l) + 1; size <= runWords {
				lines = append([]string{l}, lines...)
			}
		}
	}
	return lines, end > 0
}
