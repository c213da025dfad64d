package cmd

import (
	"fmt"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/library/registry"
)

const registryWords = `Who may read and write there is taken from the file that ` + "`docker login`" +
	` writes ($DOCKER_CONFIG, ~/.docker/config.json). Broken
off and started again, it goes on where it was, also in the middle of a blob.`

func imagePush(e *env) *cobra.Command {
	var plainly bool
	cmd := &cobra.Command{
		Use:   "push IMAGE REGISTRY/REPOSITORY[:TAG]",
		Short: "Send an image to an OCI registry",
		Long: `Send an image to an OCI registry. Blobs that the repository has already, as those of an image that ` +
			`this one shares chunks
with, are not sent.

` + registryWords,
		Example: `  diskcast image push debian registry.example.org/lab/debian:12
  diskcast image push debian 10.0.0.2:5000/debian:12 --plain-http`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, a []string) error {
			if _, err := registry.Open(a[1], registry.Options{}); err != nil {
				return usage("%w", err)
			}
			r, err := e.do(cmd.Context(), "sending "+a[0], doc.JobSpec{Kind: doc.JobPush, Image: a[0],
				Registry: a[1], PlainHTTP: plainly})
			if err != nil {
				return err
			}
			return e.moved(r.Moved, a[0]+" is at "+r.Moved.Name)
		},
	}
	plainHTTP(cmd, &plainly)
	return cmd
}

func imagePull(e *env) *cobra.Command {
	var plainly bool
	var name string
	cmd := &cobra.Command{
		Use:   "pull REGISTRY/REPOSITORY[:TAG|@DIGEST]",
		Short: "Take an image from an OCI registry",
		Long: `Take an image from an OCI registry into the store, under the last part of its name there, or that of ` +
			`--name. Every blob's
digest is checked; blobs that the store has are not fetched.

` + registryWords,
		Example: `  diskcast image pull registry.example.org/lab/debian:12 --name debian
  diskcast image pull 10.0.0.2:5000/debian:12 --plain-http`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			r, err := registry.Open(a[0], registry.Options{})
			if err != nil {
				return usage("%w", err)
			}
			if name == "" {
				name = localName(r.Name())
			}
			if err := image.CheckName(name); err != nil {
				return usage("%w", err)
			}
			l, err := e.libraryBy((*env).openStore)
			if err != nil {
				return err
			}
			was := e.named(cmd.Context(), l, name)
			result, err := e.do(cmd.Context(), "fetching "+r.Name(), doc.JobSpec{Kind: doc.JobPull, Registry: a[0],
				Name: name, PlainHTTP: plainly})
			if err != nil {
				return err
			}
			e.nameMoved(name, was, result.Moved.Digest)
			return e.moved(result.Moved, name+"  "+result.Moved.Digest)
		},
	}
	cmd.Flags().StringVar(&name, "name", "",
		"name of the image in the store (default: as in the registry, such as debian:12)")
	plainHTTP(cmd, &plainly)
	return cmd
}

func plainHTTP(cmd *cobra.Command, plainly *bool) {
	cmd.Flags().BoolVar(plainly, "plain-http", false, "the registry has no TLS")
}

// localName is the last part of a reference, without a digest.
func localName(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")
	return path.Base(ref)
}

func (e *env) moved(m *doc.ImageMoved, words string) error {
	if e.JSON {
		return e.Doc(m)
	}
	_, err := fmt.Fprintf(e.Out, "%s (%.1f s)\n", words, m.Seconds)
	return err
}
