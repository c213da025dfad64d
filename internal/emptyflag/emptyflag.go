// Package emptyflag refuses flags that are given and empty: most often a variable of a script that is not set, and
// never the same as a flag that is left out.
package emptyflag

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Refuse has root and every command below it refuse, before it does anything, flags that are given and empty or blank,
// and lists with such an element. means reports for which an empty value means something; wrong makes an error of the
// command line.
func Refuse(root *cobra.Command, means func(*cobra.Command, *pflag.Flag) bool, wrong func(error) error) {
	rule := root.Args
	if rule == nil {
		rule = cobra.ArbitraryArgs
	}
	root.Args = func(cmd *cobra.Command, args []string) error {
		var err error
		cmd.Flags().VisitAll(func(f *pflag.Flag) { // also what is of the commands above it
			if err == nil && f.Changed && !means(cmd, f) {
				err = check(f)
			}
		})
		if err != nil {
			return wrong(err)
		}
		return rule(cmd, args)
	}
	for _, c := range root.Commands() {
		Refuse(c, means, wrong)
	}
}

func check(f *pflag.Flag) error {
	const next = "give it a value (%s), or leave the flag out"
	switch list, many := f.Value.(pflag.SliceValue); {
	case many && len(list.GetSlice()) == 0,
		many && len(list.GetSlice()) == 1 && blank(list.GetSlice()[0]),
		!many && f.Value.Type() == "string" && blank(f.Value.String()):
		return fmt.Errorf("--%s '' is empty: "+next, f.Name, f.Usage)
	case many:
		for _, one := range list.GetSlice() {
			if blank(one) {
				return fmt.Errorf("--%s: one of its values is empty: leave that out, or "+next, f.Name, f.Usage)
			}
		}
	}
	return nil
}

func blank(s string) bool { return strings.TrimSpace(s) == "" }
