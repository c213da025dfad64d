package cmd

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/doc"
)

func tokenCreate(e *env) *cobra.Command {
	in := doc.TokenSpec{V: session.Version}
	cmd := &cobra.Command{
		Use:   "create NAME --role ROLE",
		Short: "Make a token for somebody, which is shown this once",
		Long: `Make a token of that name on a server that runs. It is shown this once: the server keeps only its hash.

A viewer looks at machines, sessions, images and receipts. An operator works with them, and follows what happens. An
admin may do everything: tokens, passwords of BMCs and receivers, rules, groups, profiles and menus, and which NIC is
which machine.

With --on, a viewer's or an operator's token is held to the machines that the selector fits, whenever it is used: others
are not there for it, nor is a session that has one of others. It makes sessions for named machines or a selector
(--on '*' means all its own), and cannot change images, read the server's figures, or see its DHCP.`,
		Example: `  diskcast token create ada --role operator --days 180
  diskcast token create room-210 --role operator --on room=210`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			in.Name = a[0]
			c, err := e.client()
			if err != nil {
				return err
			}
			made, err := c.CreateToken(cmd.Context(), in)
			if err != nil {
				return err
			}
			if e.JSON {
				return e.Doc(made)
			}
			until := "without an end"
			if !made.Until.IsZero() {
				until = "until " + clockTime(made.Until)
			}
			held := ""
			if made.Machines != nil {
				held = fmt.Sprintf(" within %s (fits %d machines now)", made.On, *made.Machines)
			}
			e.Note(fmt.Sprintf("%s has the role %s%s, %s; the token is not shown again", made.Name, made.Role, held,
				until))
			_, err = fmt.Fprintln(e.Out, made.Secret)
			return err
		},
	}
	serverFlag(cmd, e)
	cmd.Flags().StringVar(&in.Role, "role", "", "viewer, operator or admin")
	cmd.Flags().StringVar(&in.On, "on", "", "a selector: the only machines that it sees and touches (default: all)")
	cmd.Flags().IntVar(&in.Days, "days", 0, "days that it is good for (0: without an end)")
	_ = cmd.MarkFlagRequired("role") // the flag is there
	return cmd
}

func tokenList(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"},
		Short:   "List the named tokens of a server, their roles and their ends",
		Example: "  diskcast token list --server https://10.0.0.1:8443",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			list, err := c.Tokens(cmd.Context())
			if err != nil {
				return err
			}
			if e.JSON {
				return e.Doc(list)
			}
			rows := [][]string{{"NAME", "ROLE", "WITHIN", "MADE", "UNTIL"}}
			for i := range list {
				t := &list[i]
				until := clockTime(t.Until)
				if t.Ended {
					until += " (ended)"
				}
				rows = append(rows, []string{t.Name, t.Role, cmp.Or(t.On, "all"), clockTime(t.Made), until})
			}
			return ui.List(e.Out, rows)
		},
	}
	serverFlag(cmd, e)
	return cmd
}

func tokenRemove(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "rm NAME...", Aliases: []string{"remove"},
		Short:   "End tokens: the server takes them no longer",
		Example: "  diskcast token rm ada room-210",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			return e.removeEach(cmd.Context(), a, (*client.Client).RemoveToken)
		},
	}
	serverFlag(cmd, e)
	return cmd
}
