package cmd

import (
	"fmt"

	"github.com/spf13/pflag"

	"github.com/diskcast/diskcast/server/doc"
)

// powerFlags are those of a session that switches its machines.
func powerFlags(f *pflag.FlagSet, spec *doc.Spec) {
	f.StringVar(&spec.Power, "power", "",
		"switch machines on for the session, to boot from the network: on (those that are off), cycle (also those "+
			"that are on and not in the agent: what they run ends), none (whatever the profile says)")
	f.BoolVar(&spec.PowerOffFailed, "power-off-failed", false,
		"at the end, take the power of machines away whose part failed, by their BMC")
}

// checkPower looks at what goes with --power, when it is known which machines are meant.
func checkPower(spec *doc.Spec) error {
	if spec.Power == "" || spec.Power == doc.PowerNone || !spec.All && spec.Count == 0 {
		return nil
	}
	return usage("--power %s switches machines that are named: --on SELECTOR, or --nodes with their names", spec.Power)
}

// powerWords say what was asked of a machine's power, and what came of it.
func powerWords(w *doc.PartPower) string {
	if w == nil {
		return ""
	}
	words := fmt.Sprintf("%s, asked for at %s", w.Want, w.Since.Local().Format("15:04:05"))
	if w.Asked > 1 {
		words += fmt.Sprintf(" (%d times, for the server was started anew)", w.Asked)
	}
	if w.State == doc.Waiting {
		return words + ": not known yet"
	}
	return words + fmt.Sprintf("; %s at %s: %s", w.State, w.Time.Local().Format("15:04:05"), w.Words)
}
