package cmd

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/diskcast/diskcast/server/doc"
)

// hookFlags are those of a session that has hooks of the server run.
func hookFlags(f *pflag.FlagSet, spec *doc.Spec) {
	f.StringVar(&spec.Before, "before", "",
		"a hook of the server that runs before anything of the session is done; if it fails, the session does; empty: "+
			"not the profile's")
	f.StringVar(&spec.After, "after", "", "a hook of the server that runs when the session is over; empty: not the "+
		"profile's")
}

// hookRows show a hook that runs, or ran, and the last lines that it printed.
func hookRows(h *doc.HookRun) [][]string {
	words := fmt.Sprintf("%s: %s since %s", h.Name, h.State, h.Since.Local().Format("15:04:05"))
	if h.State != doc.Running {
		words = fmt.Sprintf("%s: %s at %s, begun at %s", h.Name, h.State, h.Time.Local().Format("15:04:05"),
			h.Since.Local().Format("15:04:05"))
	}
	if h.Asked > 1 {
		words += fmt.Sprintf(", %d times, for the server was started anew", h.Asked)
	}
	if h.Words != "" {
		words += ": " + h.Words
	}
	rows := [][]string{{"hook " + h.When, words}}
	for line := range strings.Lines(h.Output) {
		rows = append(rows, []string{"", "  " + strings.TrimRight(line, "\n")})
	}
	return rows
}
