package cmd

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/server/config"
	"github.com/diskcast/diskcast/server/serve"
)

func configCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print and check the settings file of serve",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(configExampleCommand(e), configCheckCommand(e))
	return cmd
}

func configExampleCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "example",
		Short:   "Print a settings file with each key, its default and its unit",
		Example: "  diskcast config example >" + config.DefaultFile,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if !e.JSON {
				return config.WriteExample(e.Out)
			}
			var b strings.Builder
			if err := config.WriteExample(&b); err != nil {
				return err
			}
			return e.Doc(map[string]string{"example": b.String()})
		},
	}
}

// checkedSettings is what `config check --json` prints.
type checkedSettings struct {
	File string              `json:"file"`
	Keys map[string][]string `json:"keys"` // what is in the file
}

func configCheckCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "check [FILE]",
		Example: "  diskcast config check\n  diskcast config check ./diskcast.toml --json",
		Short:   "Look for mistakes in a settings file",
		Long: `Look for mistakes in a settings file, ` + config.DefaultFile + ` if none is named: keys that there ` +
			`are not,
values of another type, values that mean nothing, settings that contradict each other. Each is named with its line.
What serve would stumble over is looked at too: ports, addresses that this machine does not have, directories that are
none or that the user who serves (whom the state directory belongs to) could not read.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			name := config.DefaultFile
			if len(args) > 0 {
				name = args[0]
			}
			f, err := config.Read(name)
			if err != nil {
				return err
			}
			set := f.Settings()
			hasInterface := set.Interface != ""
			if !hasInterface {
				e.Note(name + " has no interface: serve then wants --interface")
				set.Interface = "one of the command line's"
			}
			cfg, err := serveConfig(set)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			skipped, err := serve.Check(*cfg)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if skipped != "" && hasInterface {
				e.Note(skipped)
			}
			if e.JSON {
				d := checkedSettings{File: name, Keys: map[string][]string{}}
				for _, v := range f.Values {
					d.Keys[v.Name] = v.Words
				}
				for _, r := range receivers(f) {
					d.Keys["notify."+r[0]] = r[1:]
				}
				return e.Doc(d)
			}
			w := tabwriter.NewWriter(e.Out, 0, 0, 2, ' ', 0)
			for _, v := range f.Values {
				fmt.Fprintf(w, "%s\t%s\n", v.Name, strings.Join(v.Words, ", "))
			}
			for _, r := range receivers(f) {
				fmt.Fprintf(w, "notify.%s\t%s\n", r[0], strings.Join(r[1:], ", "))
			}
			if err := w.Flush(); err != nil {
				return err
			}
			fmt.Fprintf(e.Out, "%s: no mistake found\n", name)
			return nil
		},
	}
}

// receivers are the names of those whom a file names, each with where its words go.
func receivers(f *config.File) (all [][]string) {
	for _, h := range f.Notify.Webhooks {
		all = append(all, []string{h.Name, h.URL})
	}
	if m := f.Notify.Mail; m != nil {
		all = append(all, append([]string{config.MailName}, m.To...))
	}
	return all
}
