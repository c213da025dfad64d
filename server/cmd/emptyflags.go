package cmd

import (
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/diskcast/diskcast/server/config"
)

// emptyMeans reports whether an empty flag of a command means something: an empty one of all others is refused.
func emptyMeans(cmd *cobra.Command, f *pflag.Flag) bool {
	switch f.Name {
	case "notes": // there are none, or none any more
		return true
	case "rate": // found by itself again
		return cmd.Name() == "edit"
	case "before", "after", "append": // nothing in the place of what the profile says
		return takesProfile(cmd)
	}
	// A setting that has no default: nothing in the place of what the settings file says.
	return (cmd.Name() == "serve" || cmd.Name() == "doctor") && slices.Contains(config.Names(), f.Name) &&
		(f.DefValue == "" || f.DefValue == "[]")
}

// takesProfile reports whether a session takes from a profile, named or of its machines, what its flags do not say.
func takesProfile(cmd *cobra.Command) bool {
	profile, on := cmd.Flags().Lookup("profile"), cmd.Flags().Lookup("on")
	if profile == nil || on == nil {
		return false
	}
	changed := cmd.Flags().Changed
	return profile.Changed || on.Changed && !changed("image") && !changed("capture")
}
