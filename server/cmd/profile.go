package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/diskcast/diskcast/internal/diskrule"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/doc"
)

func profileCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "profile", Aliases: []string{"profiles"},
		Short: "Say what machines of a sort become: image, disk, way of leaving",
		Long: `A profile is what a session takes that was not asked for: image, disk rule, verify, grow, mode, way ` +
			`of leaving, and all
else that session create has but which machines are meant. Give it to machines with diskcast machine profile, or name it
in session create --profile. A session keeps what it took: later changes of the profile change no session.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	serverFlag(cmd, e)
	cmd.AddCommand(labList(e, "profiles", func(l *doc.Lab) any { return l.Profiles }, func(l *doc.Lab) [][]string {
		rows := [][]string{{"PROFILE", "REVISION", "CHANGED", "WHAT"}}
		for _, p := range l.Profiles {
			rows = append(rows, []string{p.Name, revisionOf(p.Revision), ui.Ago(p.Changed), string(p.Spec)})
		}
		return rows
	}), labShow(e, doc.KindProfile, "profile", (*env).showProfile), profileSet(e),
		labRemove(e, doc.KindProfile, "profile"))
	return cmd
}

func (e *env) showProfile(l *doc.Lab, i int) error {
	p := &l.Profiles[i]
	if e.JSON {
		return e.Doc(p)
	}
	rows := [][]string{{"profile", p.Name}, {"revision", revisionOf(p.Revision)},
		{"changed", ui.Ago(p.Changed) + " by " + p.Owner}}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(p.Spec, &fields); err != nil {
		return fmt.Errorf("profile %s: %w", p.Name, err)
	}
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		var rule session.Target
		if k == "target" && json.Unmarshal(fields[k], &rule) == nil {
			rows = append(rows, []string{"disk rule", diskrule.Rule(rule)})
			continue
		}
		rows = append(rows, []string{k, string(fields[k])})
	}
	return ui.Table(e.Out, rows)
}

// profileSet takes the flags of session create, or a file.
func profileSet(e *env) *cobra.Command {
	var file, name string
	var revision uint64
	notHere := []string{"nodes", "on", "profile", "min-nodes", "max-wait", "capture", "level", "parent", "gaps",
		"at", "notes", "watch"}
	cmd := specCommand(e, true, func(cmd *cobra.Command, spec doc.Spec, _ bool) error {
		for _, f := range notHere {
			if cmd.Flags().Changed(f) {
				return usage("--%s is not of a profile: it goes with session create", f)
			}
		}
		text, err := json.Marshal(sparse(cmd, spec, "v"))
		if err != nil {
			return err
		}
		if file != "" {
			if string(text) != "{}" {
				return usage("--spec has the whole profile: leave the other flags away")
			}
			if text, err = readInput(e.in, file); err != nil {
				return err
			}
		}
		return e.changeLab(cmd, doc.LabChange{Profiles: []doc.Profile{{Name: name, Spec: text, Revision: revision}}})
	})
	cmd.Use, cmd.Short = "set NAME [--image IMAGE ...]", "Make a profile, or write one anew"
	cmd.Long = `Make a profile of the flags of session create, or write one anew: what was there and is not named is ` +
		`gone. --spec takes
the fields of POST /v1/sessions as a JSON document instead.`
	cmd.Example = `  diskcast profile set lab --image debian --disk type=ssd,largest --verify --then reboot
  diskcast profile show lab --json | jq .spec > lab.json; diskcast profile set lab --spec lab.json --revision 3`
	cmd.Args = cobra.ExactArgs(1)
	cmd.PreRunE = func(_ *cobra.Command, a []string) error { name = a[0]; return nil }
	for _, f := range notHere {
		_ = cmd.Flags().MarkHidden(f) // it is there
	}
	cmd.Flags().StringVar(&file, "spec", "", "JSON file with the fields, - for stdin")
	revisionFlag(cmd, &revision)
	return cmd
}

// readInput reads a file, or stdin for -.
func readInput(stdin io.Reader, file string) ([]byte, error) {
	const most = 32 << 20
	if file != "-" {
		b, err := readWhole(file, most)
		return bytes.TrimSpace(b), err
	}
	b, err := io.ReadAll(io.LimitReader(stdin, most+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(b) > most {
		return nil, fmt.Errorf("%s is larger than %d bytes", file, most)
	}
	return bytes.TrimSpace(b), nil
}

// flagsOf are the flags of session create that make a field of a spec; a field that is not here has no default.
var flagsOf = map[string][]string{"target": {"disk"}, "mode": {"mode"}, "verify": {"verify"}, "no_grow": {"grow"},
	"boot":         {"then", "append", "shell-key", "shell-limit"},
	"expect_alive": {"expect-alive"}, "rate": {"rate"}, "give_up": {"give-up"},
	"max_wait":  {"max-wait"},
	"min_nodes": {"min-nodes"}, "drop_gaps": {"gaps"}, "power": {"power"}, "power_off_failed": {"power-off-failed"}}

// sparse is what of a spec was asked for: what flags left at their defaults is not there, and what they set is,
// whatever it is.
func sparse(cmd *cobra.Command, spec doc.Spec, without ...string) map[string]json.RawMessage {
	text, err := json.Marshal(spec)
	fields := map[string]json.RawMessage{}
	if err == nil {
		err = json.Unmarshal(text, &fields)
	}
	if err != nil {
		panic("cmd: a spec has no JSON: " + err.Error()) // our own type: cannot be
	}
	changed := cmd.Flags().Changed
	for key, flags := range flagsOf {
		if !slices.ContainsFunc(flags, changed) {
			delete(fields, key)
		}
	}
	for flag, key := range map[string]string{"verify": "verify", "grow": "no_grow",
		"power-off-failed": "power_off_failed"} {
		if fields[key] == nil && changed(flag) {
			fields[key] = json.RawMessage("false")
		}
	}
	for flag, key := range map[string]string{"rate": "rate", "give-up": "give_up", "expect-alive": "expect_alive",
		"priority": "priority"} {
		if fields[key] == nil && changed(flag) {
			fields[key] = json.RawMessage("0")
		}
	}
	for _, key := range []string{"before", "after"} {
		if fields[key] == nil && changed(key) {
			fields[key] = json.RawMessage(`""`)
		}
	}
	if spec.Boot != nil && fields["boot"] != nil {
		boot := map[string]any{}
		if changed("then") {
			boot["method"] = spec.Boot.Method
		}
		if changed("append") {
			boot["append"] = spec.Boot.Append
		}
		if len(spec.Boot.Shell) > 0 {
			boot["shell"] = spec.Boot.Shell
		}
		fields["boot"], _ = json.Marshal(boot) // strings and JSON have it
	}
	for _, key := range without {
		delete(fields, key)
	}
	return fields
}

// onFlag is the flag of a selector, which may be given several times.
func onFlag(f *pflag.FlagSet, on *[]string) {
	f.StringArrayVar(on, "on", nil,
		"machines by a selector: 'rack1-*', 'room=210,!spare', @group (several: any of them)")
}

// parseOn makes the selector of several flags.
func parseOn(on []string, spec *doc.Spec) { spec.On = strings.Join(on, " ") }
