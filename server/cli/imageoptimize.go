package cli

import (
	"fmt"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/image/optimize"
)

func imageOptimize(e *env) *cobra.Command {
	var again bool
	var workers int
	cmd := &cobra.Command{
		Use:   "optimize IMAGE...",
		Short: "Compress images again, slowly and better",
		Long: `Compress images again, slowly and better, at the lowest priority: what is sent to many nodes many times becomes smaller, the
restored disk stays the same. With the program zstd (level 19) an image of the default level shrinks by about a sixth, in some
eight minutes for each GB of the disk that is in use, on two cores; without it the Go encoder's best level is used.

The names go over to the new image. The old one stays without a name, for sessions that run, until ` + "`diskcast image gc --unnamed`" + `.
Broken off and started again, it goes on where it was. ` + "`diskcast serve --optimize idle`" + ` does it by itself.`,
		Example: `  diskcast image optimize debian
  diskcast image optimize debian ubuntu && diskcast image gc --unnamed`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			if workers < 0 {
				return usage("--workers %d is not a number of workers", workers)
			}
			st, err := e.openStore()
			if err != nil {
				return err
			}
			for _, ref := range a { // before the first hour is spent
				if _, err := st.Resolve(ref); err != nil {
					return err
				}
			}
			if _, err := exec.LookPath("zstd"); err != nil && !e.json {
				fmt.Fprintln(e.err, "The program zstd is not installed: the Go encoder is used, which does half as much. Debian's package is zstd.")
			}
			out := []map[string]any{}
			for _, ref := range a {
				began := time.Now()
				bar := e.progress("optimizing " + ref)
				r, err := optimize.Image(cmd.Context(), st, ref, optimize.Options{Again: again, Workers: workers, Progress: bar.update})
				bar.close()
				if err != nil {
					return roomHelp(err, st.Dir(), "", "an image is there twice until it is optimized")
				}
				names := r.Names
				if names == nil {
					names = []string{}
				}
				out = append(out, map[string]any{"image": ref, "digest": r.Digest, "names": names, "before": r.Before, "after": r.After,
					"done_before": r.Done, "seconds": time.Since(began).Seconds()})
				if e.json {
					continue
				}
				fmt.Fprintf(e.out, "%s  %s  %s\n", ref, r.Digest, optimizedWords(r, time.Since(began)))
			}
			if e.json {
				return e.printJSON(out)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&again, "again", false, "also images that were optimized before, as without zstd")
	cmd.Flags().IntVar(&workers, "workers", 0, "how many frames to compress at once (default: one for each CPU)")
	return cmd
}

func optimizedWords(r *optimize.Result, took time.Duration) string {
	switch {
	case r.Done:
		return "was optimized before"
	case r.After == r.Before:
		return fmt.Sprintf("%s stays as it is: it becomes no smaller (%.1f s)", bytesWords(r.Before), took.Seconds())
	}
	return fmt.Sprintf("%s, was %s (%.2f of it, %.1f s)", bytesWords(r.After), bytesWords(r.Before), float64(r.After)/float64(r.Before), took.Seconds())
}
