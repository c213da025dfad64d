package cli

import (
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/server/registry"
)

const registryWords = `Who may read and write there is taken from the file that ` + "`docker login`" + ` writes ($DOCKER_CONFIG, ~/.docker/config.json). Broken
off and started again, it goes on where it was, also in the middle of a blob.`

func imagePush(e *env) *cobra.Command {
	var o registry.Options
	cmd := &cobra.Command{
		Use:   "push IMAGE REGISTRY/REPOSITORY[:TAG]",
		Short: "Send an image to an OCI registry",
		Long: `Send an image to an OCI registry. Blobs that the repository has already, as those of an image that this one shares chunks
with, are not sent.

` + registryWords,
		Example: `  diskcast image push debian registry.example.org/lab/debian:12
  diskcast image push debian 10.0.0.2:5000/debian:12 --plain-http`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, a []string) error {
			st, err := e.openStore()
			if err != nil {
				return err
			}
			im, err := st.Open(a[0])
			if err != nil {
				return err
			}
			defer im.Close()
			r, err := registry.Open(a[1], o)
			if err != nil {
				return usage("%w", err)
			}
			began := time.Now()
			bar := e.progress("sending " + a[0])
			err = r.Push(cmd.Context(), st, im, bar.update)
			bar.close()
			if err != nil {
				return fmt.Errorf("push of %s to %s: %w", a[0], r.Name(), err)
			}
			return e.transferred(r.Name(), im.Manifest(), a[0]+" is at "+r.Name(), began)
		},
	}
	plainHTTP(cmd, &o)
	return cmd
}

func imagePull(e *env) *cobra.Command {
	var o registry.Options
	var name string
	cmd := &cobra.Command{
		Use:   "pull REGISTRY/REPOSITORY[:TAG|@DIGEST]",
		Short: "Take an image from an OCI registry",
		Long: `Take an image from an OCI registry into the store, under the last part of its name there, or that of --name. Every blob's
digest is checked; blobs that the store has are not fetched.

` + registryWords,
		Example: `  diskcast image pull registry.example.org/lab/debian:12 --name debian
  diskcast image pull 10.0.0.2:5000/debian:12 --plain-http`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			r, err := registry.Open(a[0], o)
			if err != nil {
				return usage("%w", err)
			}
			if name == "" {
				name = localName(r.Name())
			}
			if err := image.CheckName(name); err != nil {
				return usage("%w", err)
			}
			st, err := e.openStore()
			if err != nil {
				return err
			}
			began := time.Now()
			bar := e.progress("fetching " + r.Name())
			digest, err := r.Pull(cmd.Context(), st, name, bar.update)
			bar.close()
			if err != nil {
				return roomHelp(fmt.Errorf("pull of %s: %w", r.Name(), err), st.Dir(), "", "")
			}
			return e.transferred(name, digest, name+"  "+digest, began)
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "name of the image in the store (default: as in the registry, such as debian:12)")
	plainHTTP(cmd, &o)
	return cmd
}

func plainHTTP(cmd *cobra.Command, o *registry.Options) {
	cmd.Flags().BoolVar(&o.PlainHTTP, "plain-http", false, "the registry has no TLS")
}

// localName is the last part of a reference, without a digest.
func localName(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")
	return path.Base(ref)
}

func (e *env) transferred(name, digest, words string, began time.Time) error {
	took := time.Since(began)
	if e.json {
		return e.printJSON(map[string]any{"name": name, "digest": digest, "seconds": took.Seconds()})
	}
	_, err := fmt.Fprintf(e.out, "%s (%.1f s)\n", words, took.Seconds())
	return err
}
