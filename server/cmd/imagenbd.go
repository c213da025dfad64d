package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/library"
	"github.com/diskcast/diskcast/server/library/diskview"
	"github.com/diskcast/diskcast/server/library/nbd"
)

func imageNBD(e *env) *cobra.Command {
	var failFast bool
	c := &cobra.Command{
		Use:   "nbd IMAGE SOCKET",
		Short: "Serve an image as a disk that is read, without writing it out: a network block device",
		Long: `Serves an image as a network block device on a Unix socket, until interrupted: QEMU and Linux read ` +
			`it as a disk,
and nothing is unpacked for it. It cannot be written; QEMU's snapshot=on, or a qcow2 file over it, takes what a machine
writes. Every chunk is hashed when it is read. What does not pass is an input/output error there, is told here, and
makes the exit code 4; with --fail-fast the program ends then.

Of a server's image, what is read is fetched then. What still cannot be fetched a minute after it first failed is an
input/output error too, and makes the exit code 1.`,
		Example: `  diskcast image nbd debian /run/user/1000/debian.sock
  qemu-img create -f qcow2 -F raw -b nbd+unix:///?socket=/run/user/1000/debian.sock over.qcow2
  nbd-client -unix /run/user/1000/debian.sock /dev/nbd0 && mount -o ro /dev/nbd0p1 /mnt`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, a []string) error {
			ctx := cmd.Context()
			if err := e.outside(a[1]); err != nil {
				return err
			}
			if len(a[1]) > maxSocket {
				return usage("%s: the name of a socket has at most %d bytes: name one in another folder", a[1],
					maxSocket)
			}
			im, err := e.openSource(ctx, a[0])
			if err != nil {
				return err
			}
			defer im.close()
			return e.serveNBD(ctx, im, a[0], a[1], failFast)
		},
	}
	c.Flags().BoolVar(&failFast, "fail-fast", false, "end with the first read that fails")
	return c
}

// maxSocket is how long the name of a Unix socket may be, in bytes (unix(7): sun_path, and its end).
const maxSocket = 107

// nbdCache is how many bytes of an image are kept unpacked.
const nbdCache = 256 << 20

// serveNBD serves an open image until ctx ends or, if failFast is set, a read fails.
func (e *env) serveNBD(ctx context.Context, im *opened, ref, socket string, failFast bool) error {
	d, err := diskview.New(im)
	if err != nil {
		return err
	}
	defer d.Close()
	old := unix.Umask(0o177) // the socket is for this user alone from its first moment on
	l, err := net.Listen("unix", socket)
	unix.Umask(old)
	if errors.Is(err, unix.EADDRINUSE) {
		return takenSocket(socket)
	}
	if err != nil {
		return err
	}
	f := &nbdFailures{e: e, end: func() {}}
	if failFast {
		ctx, f.end = context.WithCancel(ctx)
		defer f.end()
	}
	began := time.Now()
	if e.JSON {
		err = e.Doc(doc.ImageExported{Image: ref, Digest: im.manifest, Target: socket, Format: "nbd",
			Bytes: d.Size()})
	} else {
		_, err = fmt.Fprintf(e.Out, "%s can be read as a disk at %s (nbd), until this is interrupted\n", ref, socket)
	}
	if err != nil {
		l.Close()
		return err
	}
	device := &nbd.Device{Data: diskview.NewCache(d, nbdCache), Size: d.Size(), Failed: f.add}
	if err := device.Serve(ctx, l); err != nil {
		return err
	}
	switch {
	case f.told > 0:
		return fmt.Errorf("%d times in %v %s could not be read, and who read it had an input/output error: %w", f.told,
			time.Since(began).Round(time.Second), ref, f.worst)
	case f.worst != nil:
		return fmt.Errorf("who read %s was gone before this was known: %w", ref, f.worst)
	}
	return nil
}

// takenSocket says what a name is taken by: a socket stays behind when its program is killed.
func takenSocket(socket string) error {
	st, err := os.Lstat(socket)
	if err != nil || st.Mode().Type() != fs.ModeSocket {
		return existsError(socket)
	}
	c, err := net.Dial("unix", socket)
	switch {
	case err == nil:
		c.Close()
		return fmt.Errorf("%s: another program listens there: name another socket", socket)
	case errors.Is(err, unix.ECONNREFUSED):
		return fmt.Errorf("%s is a socket that no program listens at any more: remove it (`rm %s`)", socket, socket)
	}
	return existsError(socket)
}

// nbdFailures counts what could not be read, and keeps the first of it, or of what is damaged.
type nbdFailures struct {
	e     *env
	end   func() // called with each that counts
	mu    sync.Mutex
	told  int // who reads has heard of so many
	worst error
}

// add tells of the first failure, and of the first damage. Of what nobody waited for any more, damage alone counts.
func (f *nbdFailures) add(err error, told bool) {
	damaged := ExitCode(err) == exitDamage
	if !told && !damaged {
		return
	}
	defer f.end()
	f.mu.Lock()
	defer f.mu.Unlock()
	if told {
		f.told++
	}
	if f.worst == nil || damaged && ExitCode(f.worst) != exitDamage {
		f.worst = f.e.unreadHelp(err)
		f.e.Warn(plain.Line(f.worst.Error(), 0))
	}
}

// unreadHelp adds to why a part of an image could not be read what can be done, where the reason does not say it.
func (e *env) unreadHelp(err error) error {
	var status *client.StatusError
	switch {
	case ExitCode(err) == exitDamage:
		return library.Advised(err)
	case errors.As(err, &status) && status.Code == http.StatusNotFound:
		return fmt.Errorf("%w; the image is no longer in the server's store: bring it there again "+
			"(`diskcast image import DIR --server %s`), or serve another", err, e.images)
	case !e.remote():
		return fmt.Errorf("%w; see what the kernel says of the disk or share that the store is on (`dmesg`)", err)
	}
	return err
}
