package cmd

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/nearest"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/doc"
)

// selectorHelp explains selectors to whoever asks for help.
const selectorHelp = `SELECTOR says which machines:
  lab-07  m12  52:54:00:12:34:56   by name, by id, by the NIC that one boots from
  'rack1-*'                        by a pattern of names; * alone is all machines
  room=210  row!=2  spare  '!spare'  by labels; the value may be a pattern
  @front                           by a group (diskcast group set)
A comma means that all of it must hold: room=210,!spare. A space means or. What fits no machine is refused.`

func groupCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "group", Aliases: []string{"groups"},
		Short: "Keep selectors of machines on the server, under names",
		Long:  "A group is a selector with a name: @NAME in other selectors.\n\n" + selectorHelp,
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	serverFlag(cmd, e)
	var revision uint64
	set := &cobra.Command{
		Use: "set NAME SELECTOR...", Short: "Make a group, or change one",
		Example: "  diskcast group set front row=1\n  diskcast group set usable 'room=210,!spare' '@front'",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, a []string) error {
			return e.changeLab(cmd, doc.LabChange{Groups: []doc.Group{{Name: a[0], Select: strings.Join(a[1:], " "),
				Revision: revision}}})
		},
	}
	revisionFlag(set, &revision)
	cmd.AddCommand(labList(e, "groups", func(l *doc.Lab) any { return l.Groups }, func(l *doc.Lab) [][]string {
		rows := [][]string{{"GROUP", "SELECTS", "REVISION", "CHANGED"}}
		for _, g := range l.Groups {
			rows = append(rows, []string{g.Name, g.Select, strconv.FormatUint(g.Revision, 10), ui.Ago(g.Changed)})
		}
		return rows
	}), labShow(e, doc.KindGroup, "group", func(e *env, l *doc.Lab, i int) error {
		g := &l.Groups[i]
		if e.JSON {
			return e.Doc(g)
		}
		return ui.Table(e.Out, [][]string{{"group", g.Name}, {"selects", g.Select},
			{"revision", revisionOf(g.Revision)},
			{"changed", ui.Ago(g.Changed) + " by " + g.Owner}})
	}), set, labRemove(e, doc.KindGroup, "group"))
	return cmd
}

func ruleCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "rule", Aliases: []string{"rules"},
		Short: "Say which machines are approved without being asked about each",
		Long: `With diskcast serve --approve rules, a node is approved while a rule fits what it says of itself now; ` +
			`all that a rule has
must hold. Vendor, product, serial, MAC address and port are the machine's own word: a rule keeps machines apart that
do not lie. The port is known when the switch has said it by LLDP, which takes up to 30 seconds. Where somebody on
the network could lie, approve by hand: diskcast machine approve.

A rule with --when-idle approves nothing: it says what the machines that it fits boot when nothing is asked of them and
nothing was entered of themselves (diskcast machine set --when-idle). Of a machine that never came its MAC address is
all that is known.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	serverFlag(cmd, e)
	var r doc.Rule
	set := &cobra.Command{
		Use: "set NAME", Short: "Make a rule, or write one anew",
		Example: `  diskcast rule set dell --vendor 'Dell*' --net 10.20.0.0/16
  diskcast rule set lab --mac 52:54:00
  diskcast rule set rack1 --port 'sw1/ge-0/0/*'
  diskcast rule set printers --mac 00:80:77 --when-idle never`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			r.Name = a[0]
			return e.changeLab(cmd, doc.LabChange{Rules: []doc.Rule{r}})
		},
	}
	f := set.Flags()
	f.StringVar(&r.Vendor, "vendor", "", "pattern of the maker, as the firmware says it")
	f.StringVar(&r.Product, "product", "", "pattern of the product")
	f.StringVar(&r.Serial, "serial", "", "pattern of the serial number")
	f.StringSliceVar(&r.MACs, "mac", nil,
		"MAC address of the NIC that it boots from, or the first bytes of some (several)")
	f.StringSliceVar(&r.Nets, "net", nil, "network that it asks from, such as 10.0.0.0/24 (several)")
	f.StringVar(&r.Port, "port", "", "pattern of SWITCH/PORT that it is plugged into, such as 'sw1/ge-0/0/*'")
	f.StringVar(&r.Relay, "relay", "", "pattern of RELAY/SWITCH/PORT that passes its DHCP requests on, such as "+
		"'10.1.0.1/*' or '*/sw1/*'")
	f.BoolVar(&r.All, "all", false, "every machine is meant, which a rule without a condition that keeps some out "+
		"must say")
	f.StringVar(&r.WhenIdle, "when-idle", "", "approve nothing, and say what the machines boot when nothing is asked "+
		"of them: "+idleWords)
	revisionFlag(set, &r.Revision)
	cmd.AddCommand(labList(e, "rules", func(l *doc.Lab) any { return l.Rules }, func(l *doc.Lab) [][]string {
		rows := [][]string{{"RULE", "MACHINES", "DOES", "REVISION", "CHANGED"}}
		for _, r := range l.Rules {
			rows = append(rows, []string{r.Name, ruleWords(&r), ruleDoes(&r), revisionOf(r.Revision),
				ui.Ago(r.Changed)})
		}
		return rows
	}), labShow(e, doc.KindRule, "rule", func(e *env, l *doc.Lab, i int) error {
		r := &l.Rules[i]
		if e.JSON {
			return e.Doc(r)
		}
		return ui.Table(e.Out, [][]string{{"rule", r.Name}, {"machines", ruleWords(r)}, {"does", ruleDoes(r)},
			{"revision", revisionOf(r.Revision)},
			{"changed", ui.Ago(r.Changed) + " by " + r.Owner}})
	}), set, labRemove(e, doc.KindRule, "rule"))
	return cmd
}

// ruleDoes is what a rule is for.
func ruleDoes(r *doc.Rule) string {
	if r.WhenIdle != "" {
		return "when idle: " + r.WhenIdle
	}
	return "approves"
}

func ruleWords(r *doc.Rule) string {
	var out []string
	if r.All {
		out = append(out, "all machines")
	}
	for _, x := range [][2]string{{"vendor", r.Vendor}, {"product", r.Product}, {"serial", r.Serial},
		{"mac", strings.Join(r.MACs, "|")}, {"net", strings.Join(r.Nets, "|")},
		{"port", r.Port}, {"relay", r.Relay}} {
		if x[1] != "" {
			out = append(out, x[0]+"="+x[1])
		}
	}
	return strings.Join(out, ", ")
}

func revisionOf(n uint64) string { return strconv.FormatUint(n, 10) }

func revisionFlag(cmd *cobra.Command, into *uint64) {
	cmd.Flags().Uint64Var(into, "revision", 0,
		"change it only if it is at this revision still (default: whatever it is)")
}

// labList is a command that lists one kind of what the lab has.
func labList(e *env, what string, all func(*doc.Lab) any, rows func(*doc.Lab) [][]string) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List all " + what, Args: cobra.NoArgs,
		Example: "  diskcast " + strings.TrimSuffix(what, "s") + " list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			l, err := c.Lab(cmd.Context())
			if err != nil {
				return err
			}
			if e.JSON {
				return e.Doc(all(l))
			}
			return ui.Table(e.Out, rows(l))
		},
	}
}

// labExamples are names of each kind, as the examples of set have them.
var labExamples = map[string]string{doc.KindGroup: "front", doc.KindProfile: "lab", doc.KindRule: "dell",
	doc.KindMenu: "hall"}

// labShow is a command that shows one thing of a kind.
func labShow(e *env, kind, what string, show func(e *env, l *doc.Lab, i int) error) *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show a " + what, Args: cobra.ExactArgs(1),
		Example: "  diskcast " + what + " show " + labExamples[kind],
		RunE: func(cmd *cobra.Command, a []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			l, err := c.Lab(cmd.Context())
			if err != nil {
				return err
			}
			var names []string
			switch kind {
			case doc.KindGroup:
				for _, g := range l.Groups {
					names = append(names, g.Name)
				}
			case doc.KindProfile:
				for _, p := range l.Profiles {
					names = append(names, p.Name)
				}
			case doc.KindRule:
				for _, r := range l.Rules {
					names = append(names, r.Name)
				}
			case doc.KindMenu:
				for _, m := range l.Menus {
					names = append(names, m.Name)
				}
			}
			for i, name := range names {
				if name == a[0] {
					return show(e, l, i)
				}
			}
			return fmt.Errorf("there is no %s %q%s (`diskcast %s list`)", what, a[0], nearest.Hint(a[0], names), what)
		},
	}
}

func labRemove(e *env, kind, what string) *cobra.Command {
	var revision uint64
	cmd := &cobra.Command{
		Use: "rm NAME...", Aliases: []string{"remove"}, Short: "Remove " + what + "s that nothing else names",
		Long:    "Remove " + what + "s that nothing else names, all of them or none.",
		Example: "  diskcast " + what + " rm " + labExamples[kind],
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			if revision != 0 && len(a) > 1 {
				return usage("--revision is that of one %s: name one", what)
			}
			var change doc.LabChange
			for _, name := range a {
				change.Remove = append(change.Remove, doc.LabName{Kind: kind, Name: name, Revision: revision})
			}
			return e.changeLab(cmd, change)
		},
	}
	revisionFlag(cmd, &revision)
	return cmd
}

// changeLab sends a change and says what it did.
func (e *env) changeLab(cmd *cobra.Command, change doc.LabChange) error {
	c, err := e.client()
	if err != nil {
		return err
	}
	change.V = session.Version
	done, err := c.ChangeLab(cmd.Context(), change)
	if err != nil {
		return err
	}
	return e.printChanges(done)
}

func (e *env) printChanges(done *doc.LabResult) error {
	if e.JSON && e.Form != ui.FormName {
		return e.Doc(done)
	}
	for _, w := range done.Warnings {
		e.Warn(w)
	}
	if e.Form == ui.FormName {
		return e.Doc(done.Changes)
	}
	for _, d := range done.Changes {
		mark := map[string]string{doc.Adds: "+", doc.Alters: "~", doc.Removes: "-"}[d.Does]
		fmt.Fprintf(e.Out, "%s %s %s\n", mark, d.Kind, d.Name)
		for _, w := range d.Words {
			fmt.Fprintf(e.Out, "    %s\n", w)
		}
	}
	switch n := len(done.Changes); {
	case n == 0:
		fmt.Fprintln(e.Out, "nothing changed")
	case done.Applied:
		fmt.Fprintf(e.Out, "%d changed\n", n)
	default:
		fmt.Fprintf(e.Out, "%d would change\n", n)
	}
	return nil
}
