package cmd

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// oldBoot lets the flag --then be given by the name that it had before: --boot.
func oldBoot(cmd *cobra.Command) {
	cmd.Flags().SetNormalizeFunc(func(f *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "boot" {
			if cmd.Annotations == nil {
				cmd.Annotations = map[string]string{}
			}
			cmd.Annotations["boot"] = "given"
			name = "then"
		}
		return pflag.NormalizedName(name)
	})
}

// noteBoot says so when the old name was used.
func (e *env) noteBoot(cmd *cobra.Command) {
	if cmd.Annotations["boot"] != "" {
		e.Note("--boot is called --then now; it does the same")
	}
}
