package cmd

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/erasure"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

func sessionErase(e *env) *cobra.Command {
	var job erasure.Spec
	var spec doc.Spec
	var nodes, disk, boot string
	var giveUp time.Duration
	var yes, watch bool
	var on []string
	cmd := &cobra.Command{
		Use:   "erase --method METHOD --on SELECTOR|--nodes WHICH",
		Short: "Erase the disks of nodes, each with a signed receipt",
		Long: `Erase the disk that the rule names on each of the nodes, look afterwards whether that is so, and keep ` +
			`a signed receipt
for each. A node does it only if its disk says that it can, and only to a disk that nothing uses.

Methods:
  overwrite                               written by the node: random, or --pattern; any disk
  zero, discard, secure-discard           by the kernel; a discard need not take anything away
  ata-erase, ata-erase-enhanced           SECURITY ERASE UNIT; refused where the firmware froze the disk
  ata-sanitize-overwrite|-block|-crypto   ATA SANITIZE
  nvme-format, nvme-format-crypto         Format NVM
  nvme-sanitize-overwrite|-block|-crypto  NVMe Sanitize; all namespaces of the controller

What NIST SP 800-88 calls the result (clear, purge) depends on method and disk; the receipt has it with the reason,
and names what was not reached: areas that the firmware hides (HPA, DCO), replaced sectors, other namespaces.`,
		Example: `  diskcast session erase --method nvme-format-crypto --nodes 52:54:00:12:34:56 --disk type=nvme ` +
			`--watch
  diskcast session erase --method overwrite --read-back all --nodes rack1-3,rack1-4 --disk only --yes
  diskcast receipt get s9 --out receipts/`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e.noteBoot(cmd)
			parseOn(on, &spec)
			if err := parseNodes(nodes, &spec); err != nil {
				return err
			}
			if err := checkPower(&spec); err != nil {
				return err
			}
			target, err := parseDisk(disk)
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("passes") && job.Passes < 1 {
				return usage("--passes %d: at least 1", job.Passes)
			}
			if err := job.Check(); err != nil {
				return usage("%w", err)
			}
			spec.V, spec.Kind, spec.Target, spec.GiveUp = session.Version, erasure.Action, *target, giveUp.Seconds()
			spec.Boot = &session.Boot{Method: boot}
			if spec.Job, err = json.Marshal(job); err != nil {
				return err
			}
			if err := checkSpec(&spec); err != nil {
				return err
			}
			if planned(cmd) {
				return e.plan(cmd, spec, watch)
			}
			if !yes {
				err := e.confirm(fmt.Sprintf("Everything on the disk (%s) of %s will be erased by %s. Type yes to go "+
					"on: ", disk, eraseWho(&spec), job.Method))
				if err != nil {
					return err
				}
			}
			return e.create(cmd.Context(), spec, watch)
		},
	}
	f := cmd.Flags()
	f.StringVar(&job.Method, "method", "", "how: see above")
	f.StringVar(&job.ReadBack, "read-back", erasure.ReadSample, "what is read afterwards: sample, all or none")
	f.IntVar(&job.Passes, "passes", 1, "of overwrite and the sanitize overwrites, up to 16")
	f.StringVar(&job.Pattern, "pattern", "", "what overwrite writes, in hex, repeated (default: random)")
	f.StringVar(&nodes, "nodes", "", "all, a number, or names of machines and MAC addresses joined by commas")
	onFlag(f, &on)
	f.StringVar(&disk, "disk", "only",
		"rule that names the disk, as session create --help says; not first, smallest or largest")
	f.StringVar(&boot, "then", session.BootStay, "what nodes do in the end: stay, reboot or poweroff")
	oldBoot(cmd)
	powerFlags(f, &spec)
	hookFlags(f, &spec)
	f.DurationVar(&giveUp, "give-up", 0, "a node silent for so long has failed (default 30m)")
	f.BoolVar(&yes, "yes", false, "do not ask")
	f.BoolVar(&watch, "watch", false, "follow the session until it is over")
	planFlags(cmd)
	_ = cmd.MarkFlagRequired("method") // it was just made
	return cmd
}

func eraseWho(spec *doc.Spec) string {
	switch {
	case spec.On != "":
		return fmt.Sprintf("every machine that the selector %q fits now", spec.On)
	case spec.All:
		return "EVERY node that is there or comes"
	case spec.Count > 0:
		return fmt.Sprintf("the first %d nodes that come", spec.Count)
	}
	return strings.Join(spec.Nodes, ", ")
}
