package cmd

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/diskcast/diskcast/internal/nearest"
)

// unknownCommand names the commands that may have been meant by the first argument of a command that has commands
// below it; empty when none is near.
func unknownCommand(cmd *cobra.Command, a []string) string {
	if !cmd.HasSubCommands() || len(a) == 0 {
		return ""
	}
	var known []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			known = append(append(known, c.Name()), c.Aliases...)
		}
	}
	return nearest.Hint(a[0], known)
}

// unknownFlag names the flags that may have been meant by one that pflag does not know.
func unknownFlag(cmd *cobra.Command, err error) string {
	word, ok := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !ok {
		return ""
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			known = append(known, f.Name)
		}
	})
	near := nearest.Of(word, known, 3)
	for i := range near {
		near[i] = "--" + near[i]
	}
	if len(near) == 0 {
		return ""
	}
	return ": did you mean " + strings.Join(near, " or ") + "?"
}
