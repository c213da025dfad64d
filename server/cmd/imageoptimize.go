package cmd

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/units"
	"github.com/diskcast/diskcast/server/doc"
)

func imageOptimize(e *env) *cobra.Command {
	var again bool
	var workers int
	cmd := &cobra.Command{
		Use:   "optimize IMAGE...",
		Short: "Compress images again, slowly and better",
		Long: `Compress images again, slowly and better, at the lowest priority: what is sent to many nodes many ` +
			`times becomes smaller, the
restored disk stays the same. With the program zstd (level 19) an image of the default level shrinks by about a ` +
			`sixth, in some
eight minutes for each GB of the disk that is in use, on two cores; without it the Go encoder's best level is used.

The names go over to the new image. The old one stays without a name, for sessions that run, until ` +
			"`diskcast image gc --unnamed`" + `.
Broken off and started again, it goes on where it was. ` + "`diskcast serve --optimize idle`" + ` does it by itself.`,
		Example: `  diskcast image optimize debian
  diskcast image optimize debian ubuntu && diskcast image gc --unnamed`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			if workers < 0 {
				return usage("--workers %d is not a number of workers", workers)
			}
			l, err := e.library()
			if err != nil {
				return err
			}
			list, err := l.List(cmd.Context())
			if err != nil {
				return err
			}
			for _, ref := range a { // before the first hour is spent
				is := func(r doc.ImageRow) bool { return r.Name == ref || namesDigest(ref, r.Digest) }
				if !slices.ContainsFunc(list, is) {
					return fmt.Errorf("image %q: %w", ref, image.ErrNotFound)
				}
			}
			out := []*doc.ImageOptimized{}
			for _, ref := range a {
				r, err := e.do(cmd.Context(), "optimizing "+ref, doc.JobSpec{Kind: doc.JobOptimize, Image: ref,
					Again: again, Workers: workers})
				if err != nil {
					return err
				}
				out = append(out, r.Optimize)
				if !e.JSON {
					fmt.Fprintf(e.Out, "%s  %s  %s\n", ref, r.Optimize.Digest, optimizedWords(r.Optimize))
				}
			}
			if e.JSON {
				return e.Doc(out)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&again, "again", false, "also images that were optimized before, as without zstd")
	cmd.Flags().IntVar(&workers, "workers", 0, "how many frames to compress at once (default: one for each CPU)")
	return cmd
}

func optimizedWords(r *doc.ImageOptimized) string {
	switch {
	case r.DoneBefore:
		return "was optimized before"
	case r.After == r.Before:
		return fmt.Sprintf("%s stays as it is: it becomes no smaller (%.1f s)", units.Bytes(r.Before), r.Seconds)
	}
	return fmt.Sprintf("%s, was %s (%.2f of it, %.1f s)", units.Bytes(r.After), units.Bytes(r.Before),
		float64(r.After)/float64(r.Before), r.Seconds)
}
