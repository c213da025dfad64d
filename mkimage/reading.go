package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/mkimage/look"
	"github.com/diskcast/diskcast/mkimage/sbom"
	"github.com/spf13/cobra"
)

// readers are the subcommands that read boot directories and change nothing.
func readers() []*cobra.Command {
	return []*cobra.Command{inspectCommand(), diffCommand(), verifyCommand(), sbomCommand()}
}

// examples are those of the subcommands that read, by their names.
var examples = map[string]string{
	"inspect": `  mkimage inspect boot
  mkimage inspect boot --json | jq -r '.modules[].name'`,
	"diff": `  mkimage diff boot.old boot
  mkimage diff boot boot.new > changes || cat changes`,
	"verify": `  mkimage verify boot
  mkimage verify boot --json | jq '.[] | select(.state != "ok")'`,
	"sbom": `  mkimage sbom boot > boot.spdx.json`,
	"test": `  mkimage test boot --serial console.log
  mkimage test boot --disk nvme --card e1000e --time 10m`,
}

// reader is a subcommand for so many directories.
func reader(use, short, long string, dirs int,
	run func(cmd *cobra.Command, dirs []*look.Directory) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long, Example: examples[strings.Fields(use)[0]],
		SilenceUsage: true, SilenceErrors: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.ExactArgs(dirs)(cmd, args); err != nil {
				return usageError{fmt.Errorf("%w (usage: %s)", err, cmd.UseLine())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var list []*look.Directory
			for _, dir := range args {
				d, err := look.Open(dir)
				if err != nil {
					return err
				}
				defer d.Close()
				list = append(list, d)
			}
			return run(cmd, list)
		},
	}
}

func inspectCommand() *cobra.Command {
	var asJSON bool
	c := reader("inspect DIR", "Say what is in a boot directory", `Says what is in a boot directory: kernel, modules, `+
		`firmware, the site's settings, boot
loaders and who signed them, sizes, the memory that a node needs, and which files are not as the manifest has them. No
more is checked: see mkimage verify.`,
		1, func(cmd *cobra.Command, dirs []*look.Directory) error {
			s, err := dirs[0].Inspect()
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), s)
			}
			return s.Print(cmd.OutOrStdout())
		})
	c.Flags().BoolVar(&asJSON, "json", false, "print all of it, each module and file of firmware too, as JSON")
	return c
}

// errDiffer is how diff ends when the directories differ, as diff(1): code 1, and 2 for trouble.
var errDiffer = errors.New("they differ")

func diffCommand() *cobra.Command {
	var asJSON bool
	c := reader("diff A B", "Say in what two boot directories differ", `Says in what boot directory B differs from A: `+
		`kernel, command line, settings, packages,
files, modules, firmware, the rest of the archive. The exit code is 0 when they are the same, 1 when they differ, 2 when
one cannot be read. One that is not as it was made is named on standard error.`, 2,
		func(cmd *cobra.Command, dirs []*look.Directory) error {
			for _, d := range dirs {
				if err := d.AllAsMade(); err != nil {
					fmt.Fprintln(cmd.ErrOrStderr(), "note:", err)
				}
			}
			list, err := look.Diff(dirs[0], dirs[1])
			if err != nil {
				return err
			}
			if asJSON {
				err = writeJSON(cmd.OutOrStdout(), append([]look.Change{}, list...))
			} else {
				err = printChanges(cmd.OutOrStdout(), list)
			}
			if err == nil && len(list) > 0 {
				err = errDiffer
			}
			return err
		})
	run := c.RunE
	c.RunE = func(cmd *cobra.Command, args []string) error {
		err := run(cmd, args)
		if err != nil && !errors.Is(err, errDiffer) {
			err = usageError{err}
		}
		return err
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the differences as JSON")
	return c
}

func printChanges(w io.Writer, list []look.Change) error {
	p := func(s string) string { return plain.Line(s, 0) }
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range list {
		switch {
		case c.From == "":
			fmt.Fprintf(tw, "+ %s\t%s\t%s\n", c.What, p(c.Name), p(c.To))
		case c.To == "":
			fmt.Fprintf(tw, "- %s\t%s\t%s\n", c.What, p(c.Name), p(c.From))
		default:
			fmt.Fprintf(tw, "~ %s\t%s\t%s -> %s\n", c.What, p(c.Name), p(c.From), p(c.To))
		}
	}
	return tw.Flush()
}

func verifyCommand() *cobra.Command {
	var asJSON bool
	c := reader("verify DIR", "Check a boot directory", `Checks a boot directory: each file against the manifest, the `+
		`archive's end and settings,
modules against the kernel and what they need, firmware that is missing, and the chain of Secure Boot: shim, GRUB and
kernel of one vendor. What is bad makes the exit code 1; warnings do not.`, 1,
		func(cmd *cobra.Command, dirs []*look.Directory) error {
			list, err := dirs[0].Verify()
			if err != nil {
				return err
			}
			bad := 0
			for _, f := range list {
				if f.State == look.Bad {
					bad++
				}
			}
			if asJSON {
				err = writeJSON(cmd.OutOrStdout(), list)
			} else {
				err = printFindings(cmd.OutOrStdout(), list)
			}
			if err == nil && bad > 0 {
				err = fmt.Errorf("%s: %s bad; make it again with mkimage", plain.Line(dirs[0].Path, 0),
					plural(bad, "thing is", "things are"))
			}
			return err
		})
	c.Flags().BoolVar(&asJSON, "json", false, "print what was found as JSON")
	return c
}

func plural(n int, one, more string) string {
	if n == 1 {
		more = one
	}
	return fmt.Sprintf("%d %s", n, more)
}

func printFindings(w io.Writer, list []look.Finding) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range list {
		fmt.Fprintf(tw, "%s\t%s\t%s\n", f.State, f.Check, plain.Line(f.Text, 0))
	}
	return tw.Flush()
}

func sbomCommand() *cobra.Command {
	return reader("sbom DIR", "List what a boot directory is made of, in SPDX", `Prints what a boot directory is made `+
		`of as SPDX 2.3 in JSON: the packages that kernel, modules,
firmware and boot loaders came from, each file, module and file of firmware with its sums, and the Go modules of the
userland. The time in it is SOURCE_DATE_EPOCH, or 1970. A directory that is not as it was made is refused.`, 1,
		func(cmd *cobra.Command, dirs []*look.Directory) error {
			created, err := parseEpoch(os.Getenv("SOURCE_DATE_EPOCH"))
			if err != nil {
				return err
			}
			doc, err := sbom.Make(dirs[0], created, "mkimage-"+version)
			if err != nil {
				return err
			}
			return writeJSON(cmd.OutOrStdout(), doc)
		})
}
