package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/plain"
)

// Words for programs of what went wrong, by exit code; ErrorCode has two more.
var codeWords = map[int]string{
	exitFailed: "failed", exitUsage: "usage", exitSession: "session", exitDamage: "damaged", exitUnbootable: "unbootable",
}

// errInterrupted is what a command ends with that was told to stop.
var errInterrupted = errors.New("interrupted")

// ErrorCode is a word for programs of what went wrong.
func ErrorCode(err error) string {
	code := ExitCode(err)
	switch {
	case code != exitFailed:
	case errors.Is(err, errInterrupted):
		return "interrupted"
	case errors.Is(err, image.ErrNotFound):
		return "not_found"
	}
	return codeWords[code]
}

// WriteError prints what a command line ended with, which is not nil: a line of text, or with --json among the arguments one line with the object
// {"error": {"message", "code", "exit"}}.
func WriteError(w io.Writer, args []string, err error) {
	if !wantsJSON(args) {
		fmt.Fprintf(w, "diskcast: %s\n", plain.Text(err.Error()))
		return
	}
	line(w, "error", map[string]any{"message": plain.Text(err.Error()), "code": ErrorCode(err), "exit": ExitCode(err)})
}

// wantsJSON looks itself, because a command line that is wrong may not have been parsed as far as --json.
func wantsJSON(args []string) bool {
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	want := false
	for _, a := range args {
		if a == "--json" {
			want = true
		} else if v, ok := strings.CutPrefix(a, "--json="); ok {
			want, _ = strconv.ParseBool(v)
		}
	}
	return want
}

// line prints an object with one field on one line.
func line(w io.Writer, kind string, v any) {
	b, err := json.Marshal(map[string]any{kind: v})
	if err != nil {
		b = []byte(`{"error":{"message":"it cannot be said in JSON","code":"failed","exit":1}}`)
	}
	fmt.Fprintln(w, escaped(string(b)))
}

// warn and note tell the operator something beside the result: a line of text on stderr, or with --json an object of its own.
func (e *env) warn(words string) { e.tell("warning", "diskcast: warning: ", words) }
func (e *env) note(words string) { e.tell("note", "note: ", words) }

func (e *env) tell(kind, head, words string) {
	if e.json {
		line(e.err, kind, map[string]string{"message": plain.Text(words)})
		return
	}
	fmt.Fprintf(e.err, "%s%s\n", head, plain.Text(words))
}
