package emptyflag

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var errWrong = errors.New("wrong")

// TestRefuse gives flags of a root and of a command below it.
func TestRefuse(t *testing.T) {
	for line, want := range map[string]string{
		"do":                         "",
		"do --name x --many a,b":     "",
		"do --notes=":                "",
		"do --number 0":              "",
		"do --name=":                 "--name '' is empty: give it a value (of it), or leave the flag out",
		"do --name=\t":               "--name '' is empty",
		"do --state=":                "--state '' is empty",
		"do --many=":                 "--many '' is empty",
		"do --many a,,b":             "--many: one of its values is empty",
		"do --file=":                 "--file '' is empty",
		"do --file a --file=":        "--file: one of its values is empty",
		"do --name x --notes= extra": "", // what else is wrong is the command's to say
	} {
		did := false
		root := &cobra.Command{Use: "root", SilenceErrors: true, SilenceUsage: true}
		root.PersistentFlags().String("state", "s", "directory")
		do := &cobra.Command{Use: "do", RunE: func(*cobra.Command, []string) error { did = true; return nil }}
		f := do.Flags()
		f.String("name", "", "of it")
		f.String("notes", "", "words")
		f.Int("number", 1, "of them")
		f.StringSlice("many", nil, "of them")
		f.StringArray("file", nil, "of them")
		root.AddCommand(do)
		Refuse(root, func(_ *cobra.Command, f *pflag.Flag) bool { return f.Name == "notes" },
			func(err error) error { return fmt.Errorf("%w: %w", errWrong, err) })
		root.SetArgs(strings.Split(line, " "))
		switch err := root.Execute(); {
		case want == "" && (err != nil || !did):
			t.Errorf("%q: %v, done: %v", line, err, did)
		case want != "" && (!errors.Is(err, errWrong) || !strings.Contains(err.Error(), want) || did):
			t.Errorf("%q: %v, done: %v; want %q", line, err, did, want)
		}
	}
}
