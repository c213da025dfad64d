package cmd

import (
	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/server/cmd/labfile"
	"github.com/diskcast/diskcast/server/cmd/ui"
)

func exportCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "export", Short: "Print machines, groups, profiles and rules as a file that apply reads",
		Long: `Print the machines of which something was entered, and all groups, profiles, rules and menus, as YAML ` +
			`that
diskcast apply reads; with --output json as JSON, which it reads too. Given to the server that it is of,
it changes nothing; to another, it makes the same lab there.

What profiles personalize machines with is printed without its secrets: (sealed) stands in the place of password hashes,
files, scripts and the like. apply leaves these as they are where the profile has them; a server that has not refuses
the profile until they are given.`,
		Example: "  diskcast export > lab.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			c.Exact = true // apply reads it
			l, err := c.Lab(cmd.Context())
			if err != nil {
				return err
			}
			ms, err := c.Machines(cmd.Context())
			if err != nil {
				return err
			}
			if e.Form == ui.FormYAML || !e.JSON {
				return labfile.WriteYAML(e.Data(), l, ms)
			}
			text, err := labfile.JSON(l, ms)
			if err != nil {
				return err
			}
			return e.Doc(text)
		},
	}
	serverFlag(cmd, e)
	return cmd
}
