package cmd

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/doc"
)

func menuCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "menu", Aliases: []string{"menus"},
		Short: "Say what people at machines may choose",
		Long: `A menu is what somebody who stands before a machine may choose while no session wants it. Machines
have it by diskcast machine set --when-idle menu:NAME, or by a rule. What is chosen becomes a session of that machine,
as if you had made it: whoever reaches the console, or the machine's network card, can erase its disk with an image of
the menu, and is given what the machine's profile personalizes it with.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	serverFlag(cmd, e)
	cmd.AddCommand(labList(e, "menus", func(l *doc.Lab) any { return l.Menus }, func(l *doc.Lab) [][]string {
		rows := [][]string{{"MENU", "ENTRIES", "TIMEOUT", "DEFAULT", "REVISION", "CHANGED"}}
		for _, m := range l.Menus {
			rows = append(rows, []string{m.Name, strings.Join(m.Entries, " "), fmt.Sprintf("%d s", m.Timeout),
				m.Default, revisionOf(m.Revision), ui.Ago(m.Changed)})
		}
		return rows
	}), labShow(e, doc.KindMenu, "menu", func(e *env, l *doc.Lab, i int) error {
		m := &l.Menus[i]
		if e.JSON {
			return e.Doc(m)
		}
		return ui.Table(e.Out, [][]string{{"menu", m.Name}, {"entries", strings.Join(m.Entries, " ")},
			{"time-out", fmt.Sprintf("%d s", m.Timeout)}, {"default", m.Default}, {"revision", revisionOf(m.Revision)},
			{"changed", ui.Ago(m.Changed) + " by " + m.Owner}})
	}), menuSet(e), labRemove(e, doc.KindMenu, "menu"))
	return cmd
}

func menuSet(e *env) *cobra.Command {
	var m doc.Menu
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "set NAME ENTRY...", Short: "Make a menu, or write one anew",
		Long: `Make a menu of these entries, shown in this order:

  own-disk      the machine starts its own disk
  wait          it waits in the agent for a session
  image=NAME    that image is written to its disk, with all else as the machine's profile says
  profile=NAME  it becomes what that profile says, which restores an image to a whole disk
  rescue        a shell as root, on the console
  memtest       Memtest86+, where the boot directory has it (memtest.bin, memtest.efi)

The default is taken when nobody chooses. With own-disk the boot loader's own menu comes first, which starts the disk
after the time-out without loading a kernel, and leads to the rest by its line More; with wait the machine goes to the
agent at once, which shows the menu on its consoles, serial ones too. Before anything is written, whoever chose is shown
the disk's model, serial and size, and types yes.`,
		Example: `  diskcast menu set hall own-disk image=debian image=debian-exam rescue --timeout 20s
  diskcast menu set bench wait profile=win11 rescue memtest own-disk --default wait
  diskcast machine set room=210 --when-idle menu:hall`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, a []string) error {
			if timeout%time.Second != 0 || timeout <= 0 {
				return usage("--timeout %v: whole seconds only, and more than none", timeout)
			}
			m.Name, m.Entries, m.Timeout = a[0], a[1:], int(timeout/time.Second)
			if err := m.Check(); err != nil {
				return usage("%w", err)
			}
			return e.changeLab(cmd, doc.LabChange{Menus: []doc.Menu{m}})
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", doc.DefaultMenuTimeout*time.Second, "how long somebody is waited for")
	cmd.Flags().StringVar(&m.Default, "default", "", "what comes when nobody chooses: own-disk or wait (default: the "+
		"first of them in the menu)")
	revisionFlag(cmd, &m.Revision)
	return cmd
}
