package cmd

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/units"
	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/library"
	"github.com/diskcast/diskcast/server/store"
)

func imageCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "image", Aliases: []string{"images"},
		Short: "Store, inspect and restore images, here or at a server",
		Long: `Store, inspect and restore images. These commands work on a store's directory on this machine, and ` +
			`the server
need not run; or, with --server, $DISKCAST_SERVER or after ` + "`diskcast login`" + `, on those of a server. --store
and --state mean a directory here in any case. What is imported or captured is read here, and what is exported is
written here; restore writes to a disk or a file of this machine, and reads the image where it lies.

Work that takes long is then a job of the server's: it goes on when the connection breaks, and when this command is
interrupted (` + "`diskcast job`" + `).

An IMAGE is named by its name, or by its digest, of which the first 12 digits are enough.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVar(&e.store, "store", "", "image store (default STATE/images)")
	cmd.PersistentFlags().StringVar(&e.images, "server", os.Getenv("DISKCAST_SERVER"),
		"work on the images of the server with this API ($DISKCAST_SERVER)")
	cmd.AddCommand(imageImport(e), imageCapture(e), imageExport(e), imageNBD(e), imageList(e), imageShow(e),
		imageDiff(e), imageVerify(e), imageRestore(e),
		imageOptimize(e), imageCut(e), imageTag(e), imageRemove(e), imageGC(e), imagePush(e), imagePull(e))
	return cmd
}

// remote reports whether a server's images are meant: of one that is named, or that was logged in to.
func (e *env) remote() bool { return e.store == "" && (e.images != "" || e.loggedIn()) }

// loggedIn reports whether a login says which server is meant; one that cannot be read is told of by dial.
func (e *env) loggedIn() bool {
	c, err := e.chosen()
	return c != nil || err != nil
}

// library is the store that is meant, which must be there.
func (e *env) library() (library.Library, error) { return e.libraryBy((*env).findStore) }

// libraryBy is the store that is meant, opened by open where it is one of this machine.
func (e *env) libraryBy(open func(*env) (*image.Store, error)) (library.Library, error) {
	if e.remote() {
		c, err := e.dial(e.images)
		if err != nil {
			return nil, err
		}
		return c.Library(), nil
	}
	st, err := open(e)
	if err != nil {
		return nil, err
	}
	return library.NewLocal(st), nil
}

// unserved refuses to take images out of a store behind the back of the server that works with it: sessions that wait
// may be meant to have them.
func (e *env) unserved(what string) error {
	if e.remote() || e.store != "" && !sameDir(e.store, filepath.Join(e.state, "images")) {
		return nil
	}
	served, err := store.InUse(e.state)
	switch {
	case err != nil:
		return fmt.Errorf("whether a server works with store %s: %w", e.storeDir(), err)
	case served:
		return fmt.Errorf("a server works with store %s, and knows what its sessions need: ask it by `diskcast %s "+
			"--server "+serverHere+" ...`, or stop it first", e.storeDir(), what)
	}
	return nil
}

// sameDir reports whether two paths lead to one directory, by whatever links. One that is not there is no other's.
func sameDir(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return filepath.Clean(a) == filepath.Clean(b)
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// do does long work with a bar, here or at the server.
func (e *env) do(ctx context.Context, what string, spec doc.JobSpec) (*doc.JobResult, error) {
	l, err := e.library()
	if err != nil {
		return nil, err
	}
	spec.V = session.Version
	if err := spec.Check(); err != nil {
		return nil, usage("%w", err)
	}
	bar := e.Progress(what)
	r, err := l.Do(ctx, spec, library.Watch{Progress: bar.Update, Note: e.Note})
	bar.Close()
	return r, err
}

// ownStore refuses root the store of a server that runs as another user: that server could not read what root writes
// there.
func ownStore(dir string, uid int) error {
	st, err := os.Stat(dir)
	if err != nil || uid != 0 {
		return nil // OpenStore makes it, or says why not
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok || sys.Uid == 0 {
		return nil
	}
	return usage("the images in %s belong to the server's user (uid %d), which could not read what root writes there: "+
		"add --server "+serverHere+", and the running server does it", dir, sys.Uid)
}

func imageList(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"},
		Short: "List the images of the store",
		Example: `  diskcast image list
  diskcast image list --server https://10.0.0.1:8443 -o name`,
		Long: `List the images of the store. NOTES counts what their captures found that one should know (` +
			"`diskcast image show`" + ` and --json have
the words). An image that cannot be opened, or was found damaged, has a problem, which is
printed below the list, and in --json as "problem".`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := e.library()
			if err != nil {
				return err
			}
			out, err := l.List(cmd.Context())
			if err != nil {
				return err
			}
			if e.JSON {
				return e.Doc(out)
			}
			return e.printList(out)
		},
	}
}

// printList prints the table, and below it, in full, what is wrong with which image.
func (e *env) printList(list []doc.ImageRow) error {
	rows := [][]string{{"NAME", "DIGEST", "DISK", "SENT", "FIRMWARE", "CREATED", "NOTES"}}
	for _, r := range list {
		created, notes := "-", "-"
		if !r.Created.IsZero() {
			created = r.Created.Local().Format(time.DateTime)
		}
		switch n := len(r.Notes); {
		case r.Problem != "":
			notes = "PROBLEM, see below"
		case n == 1:
			notes = "1 note"
		case n > 1:
			notes = fmt.Sprintf("%d notes", n)
		}
		rows = append(rows, []string{ui.Dash(r.Name), short(r.Digest), units.Bytes(r.Disk), units.Bytes(r.Object),
			ui.Dash(r.Firmware), created, notes})
	}
	if err := ui.List(e.Out, rows); err != nil {
		return err
	}
	for _, r := range list {
		if r.Problem == "" {
			continue
		}
		if _, err := fmt.Fprintf(e.Out, "problem: %s\n", plain.Line(r.Problem, 0)); err != nil {
			return err
		}
	}
	return nil
}

// short cuts a digest to what people can compare, and what the store takes.
func short(d string) string {
	if len(d) > 7+12 && strings.HasPrefix(d, "sha256:") {
		return d[7 : 7+12]
	}
	return d
}

func imageVerify(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "verify IMAGE...",
		Example: `  diskcast image verify debian win11
  diskcast image verify $(diskcast image list -o name)`,
		Short: "Read images whole and compare every checksum",
		Long: "Read images whole and compare every checksum. Exit code 4 says that one is damaged; the message says " +
			"where.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			for _, ref := range a {
				if err := e.verify(cmd.Context(), ref); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func (e *env) verify(ctx context.Context, ref string) error {
	r, err := e.do(ctx, "verifying "+ref, doc.JobSpec{Kind: doc.JobVerify, Image: ref})
	if err != nil {
		return err
	}
	if e.JSON {
		return e.Doc(r.Verify)
	}
	_, err = fmt.Fprintf(e.Out, "%s  %s  whole\n", ref, r.Verify.Digest)
	return err
}
