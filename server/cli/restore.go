package cli

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/image/restore"
)

func imageRestore(e *env) *cobra.Command {
	var o restore.LocalOptions
	var yes, grow bool
	var size string
	var sector int
	cmd := &cobra.Command{
		Use:   "restore IMAGE TARGET",
		Short: "Write an image to a disk or a file of this machine",
		Long: `Write an image to a disk or a file of this machine, with the same engine that nodes use: what does not fit is refused
before the first write, and every chunk is hashed before it is written. A disk is asked about first, unless --yes is given.`,
		Example: `  diskcast image restore debian /dev/sdb --verify
  diskcast image restore debian disk.img --size 20G --grow
  diskcast image restore debian /dev/sdb --delta --yes`,
		Args: args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, a []string) error {
			im, err := e.openImage(a[0])
			if err != nil {
				return err
			}
			defer im.Close()
			to := restore.TargetOptions{SectorSize: sector}
			info, err := os.Stat(a[1])
			device := err == nil && info.Mode()&os.ModeDevice != 0
			switch {
			case device && size != "":
				return usage("--size is for files: %s has a size of its own", a[1])
			case device && !yes:
				if err := e.confirm(fmt.Sprintf("All data on %s will be overwritten with image %s. Type yes to go on: ", a[1], a[0])); err != nil {
					return err
				}
			case !device:
				if to.Size, err = parseSize(size); err != nil {
					return err
				}
				if to.Size == 0 && (info == nil || info.Size() < im.Config().DiskSize) {
					to.Size = im.Config().DiskSize
				}
				if sector == 0 {
					to.SectorSize = im.Config().SectorSize
				}
			}
			t, err := restore.OpenTarget(a[1], to)
			if err != nil {
				return err
			}
			defer t.Close()
			if grow {
				o.Plan = append(o.Plan, restore.Grow())
			}
			bars := &stepBars{e: e, target: a[1]}
			o.Progress = bars.update
			o.Warn = func(s string) { fmt.Fprintf(e.err, "diskcast: warning: %s\n", s) }
			began := time.Now()
			st, err := restore.Local(cmd.Context(), im, t, o)
			bars.close()
			if err != nil {
				return fmt.Errorf("restore of %s to %s: %w", a[0], a[1], err)
			}
			took := time.Since(began)
			if e.json {
				return e.printJSON(map[string]any{"image": a[0], "digest": im.Manifest(), "target": a[1], "written": st.Written, "needed": st.Needed, "seconds": took.Seconds(), "verified": o.Verify})
			}
			_, err = fmt.Fprintf(e.out, "%s is on %s: wrote %s in %.1f s (%s)\n", a[0], a[1], bytesWords(st.Written), took.Seconds(), rateWords(st.Written, took))
			return err
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.Delta, "delta", false, "hash the target first and write only what differs")
	f.BoolVar(&o.Verify, "verify", false, "read back and compare")
	f.IntVar(&o.Workers, "workers", 0, "goroutines that decode and write (default: one for each CPU)")
	f.BoolVar(&grow, "grow", false, "give the last partition the rest of a larger target")
	f.BoolVar(&yes, "yes", false, "do not ask before overwriting a disk")
	f.StringVar(&size, "size", "", "size of a target file (default: the image's disk)")
	f.IntVar(&sector, "sector-size", 0, "bytes of a sector of a target file (default: the image's)")
	return cmd
}

// confirm asks on a terminal; elsewhere nobody could answer.
func (e *env) confirm(question string) error {
	if _, ok := terminal(e.in); !ok {
		return usage("a disk is overwritten only with --yes, or after asking on a terminal")
	}
	fmt.Fprint(e.err, question)
	answer, err := bufio.NewReader(e.in).ReadString('\n')
	if err != nil || strings.TrimSpace(answer) != "yes" {
		return &codeError{exitFailed, fmt.Errorf("not confirmed; nothing was written")}
	}
	return nil
}
