package cmd

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/doc"
)

// Words for programs of what went wrong, by exit code; ErrorCode has two more.
var codeWords = map[int]string{
	exitFailed: "failed", exitUsage: "usage", exitSession: "session", exitDamage: "damaged",
	exitUnbootable: "unbootable", exitDiffers: "differs",
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
	case errors.Is(err, image.ErrNotFound), kind(err) == doc.KindNotFound:
		return "not_found"
	}
	return codeWords[code]
}

// WriteError prints what a command line ended with, which is not nil: a line of text, or with --json among the
// arguments one line with the object {"error": {"message", "code", "exit"}}.
func WriteError(w io.Writer, args []string, err error) {
	if !wantsJSON(args) {
		fmt.Fprintf(w, "diskcast: %s\n", plain.Text(err.Error()))
		return
	}
	ui.Object(w, "error", map[string]any{"message": plain.Text(err.Error()), "code": ErrorCode(err),
		"exit": ExitCode(err)})
}

// wantsJSON looks itself, because a command line that is wrong may not have been parsed as far as --json or
// --output json.
func wantsJSON(args []string) bool {
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	want := false
	for i, a := range args {
		if a == "--json" {
			want = true
		} else if v, ok := strings.CutPrefix(a, "--json="); ok {
			want, _ = strconv.ParseBool(v)
		}
		if (a == "--output" || a == "-o") && i+1 < len(args) {
			a += "=" + args[i+1]
		}
		if args[0] != "cast" && (a == "--output=json" || a == "-o=json" || a == "-ojson") { // cast's is a file
			want = true
		}
	}
	return want
}
