package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/rescue"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

func sessionRescue(e *env) *cobra.Command {
	var spec doc.Spec
	var nodes, then string
	var keys, on []string
	var limit time.Duration
	var watch bool
	cmd := &cobra.Command{
		Use:   "rescue --on SELECTOR|--nodes WHICH [--key FILE.pub]",
		Short: "Give a shell on nodes: on the console, and by SSH for a key",
		Long: `Nodes open a shell on their consoles and, where keys are given, let those in by SSH as root; passwords
are never taken. session show has the command to type and the host key, which is new each time: compare it. Nothing is
written to a disk by itself. It ends with session cancel, when the time is over, or when the last shell is left with
exit; a connection that breaks ends nothing. Who came in and what was run by a command line is in node log.

Anybody who stands before the machine has the shell on its console.`,
		Example: "  diskcast session rescue --on lab-07 --key ~/.ssh/id_ed25519.pub --limit 2h\n" +
			"  diskcast session show s12\n  diskcast session cancel s12",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			parseOn(on, &spec)
			if err := parseNodes(nodes, &spec); err != nil {
				return err
			}
			job, err := shellSpec(keys, limit, "--limit")
			if err != nil {
				return err
			}
			text, err := json.Marshal(job)
			if err != nil {
				return err
			}
			spec.V, spec.Kind, spec.Job, spec.Boot = session.Version, rescue.Action, text, &session.Boot{Method: then}
			if err := checkSpec(&spec); err != nil {
				return err
			}
			if len(job.Keys) == 0 && !e.JSON {
				e.Note("no key is given with --key: the shell is on the machines' consoles only")
			}
			return e.create(cmd.Context(), spec, watch)
		},
	}
	f := cmd.Flags()
	f.StringVar(&nodes, "nodes", "", "all, a number, or names of machines and MAC addresses joined by commas")
	onFlag(f, &on)
	f.StringArrayVar(&keys, "key", nil, "file with public keys that may come in by SSH, a line each (several)")
	f.DurationVar(&limit, "limit", rescue.DefaultTime, "how long the shell is open, from its start on the node")
	f.StringVar(&then, "then", session.BootStay, "what nodes do in the end: stay, reboot or poweroff")
	f.StringVar(&spec.Notes, "notes", "", "the operator's own notes")
	f.BoolVar(&watch, "watch", false, "follow the session until it is over")
	return cmd
}

// maxKeyFile bounds a file of public keys, in bytes.
const maxKeyFile = 64 << 10

// readKeys reads the public keys of a file.
func readKeys(file string) ([]string, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxKeyFile {
		return nil, fmt.Errorf("%s: it is no file of at most %d bytes", file, maxKeyFile)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if bytes.Contains(text, []byte("PRIVATE KEY")) {
		return nil, usage("%s is a private key, which nobody else must have: give %s.pub", file, file)
	}
	var out []string
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		k, err := rescue.ParseKey(line)
		if err != nil {
			return nil, usage("%s:%d: %w", file, number, err)
		}
		out = append(out, k.Line())
	}
	if len(out) == 0 {
		return nil, usage("%s has no key", file)
	}
	return out, nil
}

// rescueRows are what `session show` says of a rescue, or of the shell at a restore's end.
func rescueRows(s *doc.Session) [][]string {
	var rows [][]string
	var asked json.RawMessage
	switch {
	case s.Spec.Kind == rescue.Action:
		rows, asked = [][]string{{"kind", rescue.Action}}, s.Spec.Job
	case s.Spec.Boot != nil && s.Spec.Boot.Method == session.BootShell:
		rows, asked = [][]string{{"then", "a shell, and after it the start of what was restored"}}, s.Spec.Boot.Shell
	default:
		return nil
	}
	job, err := rescue.ParseSpec(asked)
	if err != nil {
		return rows
	}
	rows = append(rows, []string{"open for", (time.Duration(job.Seconds) * time.Second).String()})
	for _, line := range job.Keys {
		if k, err := rescue.ParseKey(line); err == nil {
			rows = append(rows, []string{"lets in", k.Words()})
		}
	}
	return rows
}

// shellWords say where the shell of a node is.
func shellWords(s *doc.Session, p *doc.Part) []string {
	where := p.Shell
	if s.Spec.Kind == rescue.Action {
		where = p.Result
	}
	if _, closed := p.Steps[rescue.StepClosed]; closed || p.Over() || p.State == doc.Starting {
		return nil
	}
	o, err := rescue.ParseOpened(where)
	if err != nil {
		return nil
	}
	var out []string
	if len(o.Consoles) > 0 {
		out = append(out, "a shell is on "+strings.Join(o.Consoles, ", "))
	}
	if o.HostKey != "" {
		out = append(out, o.Command()+"   # its host key must be "+o.Fingerprint())
	}
	return out
}
