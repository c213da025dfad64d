package cmd

import (
	"encoding/json"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/diskcast/diskcast/internal/rescue"
	"github.com/diskcast/diskcast/internal/session"
)

// shellFlags say who may come in, and for how long, before a machine starts what was restored.
type shellFlags struct {
	keys  []string
	limit time.Duration
}

func (s *shellFlags) flags(f *pflag.FlagSet) {
	f.StringArrayVar(&s.keys, "shell-key", nil,
		"with --then shell: file with public keys that may come in by SSH, a line each (several)")
	f.DurationVar(&s.limit, "shell-limit", rescue.DefaultTime, "with --then shell: how long the shell is open")
}

// set puts on the way of leaving what the flags ask for. Where none is given that is left to the profile, and to the
// server.
func (s *shellFlags) set(cmd *cobra.Command, b *session.Boot) error {
	changed := cmd.Flags().Changed
	if !changed("shell-key") && !changed("shell-limit") {
		return nil
	}
	if b.Method != session.BootShell {
		return usage("--shell-key and --shell-limit go with --then shell")
	}
	spec, err := shellSpec(s.keys, s.limit, "--shell-limit")
	if err != nil {
		return err
	}
	b.Shell, err = json.Marshal(spec)
	return err
}

// shellSpec is the shell that the flags of a command ask for; limit is the name of the flag with the time.
func shellSpec(files []string, open time.Duration, limit string) (rescue.Spec, error) {
	spec := rescue.Spec{Seconds: int64(open / time.Second)}
	for _, file := range files {
		lines, err := readKeys(file)
		if err != nil {
			return spec, err
		}
		spec.Keys = append(spec.Keys, lines...)
	}
	if open < time.Second { // which a spec says as none
		return spec, usage("%s %v: how long the shell is open, at least 1m", limit, open)
	}
	if err := spec.Check(); err != nil {
		return spec, usage("%w", err)
	}
	return spec, nil
}
