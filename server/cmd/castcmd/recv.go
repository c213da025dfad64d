package castcmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/diskcast/diskcast/internal/cast"
	"github.com/diskcast/diskcast/internal/private"
	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/spf13/cobra"
)

type recvFlags struct {
	iface  string
	out    string
	label  string
	memory int64
}

func recvCommand(u *ui.UI) *cobra.Command {
	var f recvFlags
	cmd := &cobra.Command{
		Use: "recv TICKET|-",
		Example: `  diskcast cast recv -o /dev/sda - < ticket
  diskcast cast recv - < ticket | tar x -C /srv`,
		Short: "Receive what the ticket names",
		Long: `Receive what the ticket names, into a file, a device or standard output. A ticket of - is read from ` +
			`standard input, so
that it does not stand in the list of processes.

Where multicast does not arrive, the sender serves this machine by unicast, and both ends say why that may be.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cmd.SilenceUsage = true
			return recv(cmd.Context(), f, args[0], cmd.InOrStdin(), cmd.OutOrStdout(), u)
		},
	}
	host, _ := os.Hostname()
	fl := cmd.Flags()
	fl.StringVar(&f.iface, "interface", "", "network interface (default: the one that leads to the sender)")
	fl.StringVarP(&f.out, "output", "o", "-",
		"file or device to write; - is standard output; a file that is not there is made with mode 0600")
	fl.StringVar(&f.label, "label", host, "name shown at the sender")
	fl.Int64Var(&f.memory, "memory", 40, "MiB of blocks to hold at most until they are written")
	return cmd
}

func recv(ctx context.Context, f recvFlags, arg string, stdin io.Reader, stdout io.Writer, u *ui.UI) error {
	if arg == "-" {
		b, err := io.ReadAll(io.LimitReader(stdin, 4096))
		if err != nil {
			return err
		}
		arg = string(b)
	}
	p, err := cast.ParseTicket(strings.TrimSpace(arg))
	if err != nil {
		return ui.Usage("%w", err)
	}
	sink, reread, finish, err := openSink(f.out, p.Size, stdout)
	if err != nil {
		return err
	}
	prog := newProgress(u, p.Size)
	r, err := cast.NewReceiver(p, sink, cast.ReceiverOptions{
		Interface: f.iface, Label: f.label, Memory: f.memory << 20, Reread: reread, Stream: true,
		OnState: func(s cast.State) {
			if s.Why != "" {
				prog.line(s.Phase.String(), s.Why)
			}
		},
	})
	if err != nil {
		return errors.Join(err, finish())
	}
	prog.Run(func() { prog.receiver(r.Stats()) })
	err = r.Run(ctx)
	prog.Stop()
	err = errors.Join(err, finish())
	prog.receiverDone(r.Stats(), err)
	return err
}

// openSink opens the place to write to, and to read back from where that can be done. finish must be called at the end,
// whatever happened.
func openSink(name string, size int64, stdout io.Writer) (sink cast.Sink, reread io.ReaderAt, finish func() error,
	err error) {
	if name == "-" {
		o := newOrdered(stdout)
		return o, nil, o.close, nil
	}
	file, readable, err := openOutput(name)
	if err != nil {
		return nil, nil, nil, err
	}
	st, err := file.Stat()
	switch {
	case err != nil:
	case st.Mode().IsRegular():
		err = file.Truncate(size)
	case st.Mode()&os.ModeDevice != 0 && st.Mode()&os.ModeCharDevice == 0:
		var end int64
		if end, err = file.Seek(0, io.SeekEnd); err == nil && end < size {
			err = fmt.Errorf("%s has %d bytes, %d too few for what is sent", name, end, size-end)
		}
	case st.Mode()&os.ModeNamedPipe != 0:
		o := newOrdered(file)
		return o, nil, func() error { return errors.Join(o.close(), file.Close()) }, nil
	}
	if err != nil {
		file.Close()
		return nil, nil, nil, err
	}
	plain := st.Mode()&os.ModeCharDevice != 0 // /dev/null knows no offsets
	if readable && !plain {
		reread = file
	}
	return cast.SinkFunc(func(off int64, p []byte) error {
		if plain {
			_, err := file.Write(p)
			return err
		}
		_, err := file.WriteAt(p, off)
		return err
	}), reread, file.Close, nil
}

// openOutput opens a file, which is made closed to other users (what is cast may be a disk with everything on it), or a
// device, for reading too where that is allowed. A pipe is opened for writing only: its reader is to see its end.
func openOutput(name string) (file *os.File, readable bool, err error) {
	st, err := os.Stat(name)
	if err != nil || st.Mode().IsRegular() || st.Mode()&os.ModeDevice != 0 {
		if file, err = os.OpenFile(name, os.O_CREATE|os.O_RDWR, private.FileMode); err == nil {
			return file, true, nil
		}
	}
	file, err = os.OpenFile(name, os.O_CREATE|os.O_WRONLY, private.FileMode)
	return file, false, err
}

// ordered writes blocks to a pipe in order. Those that come before their turn wait in a file without a name.
type ordered struct {
	w    io.Writer
	file *os.File
	next int64
	have map[int64]int // offset to length of the blocks that wait
	buf  []byte
}

func newOrdered(w io.Writer) *ordered { return &ordered{w: w, have: map[int64]int{}} }

// Block takes one block.
func (o *ordered) Block(off int64, p []byte) error {
	if off != o.next {
		if o.file == nil {
			f, err := os.CreateTemp("", "diskcast-*")
			if err != nil {
				return fmt.Errorf("keeping blocks that came before their turn: %w", err)
			}
			os.Remove(f.Name())
			o.file = f
		}
		o.have[off] = len(p)
		_, err := o.file.WriteAt(p, off)
		return err
	}
	if err := o.write(p); err != nil {
		return err
	}
	for n, ok := o.have[o.next]; ok; n, ok = o.have[o.next] {
		delete(o.have, o.next)
		if cap(o.buf) < n {
			o.buf = make([]byte, n)
		}
		if _, err := o.file.ReadAt(o.buf[:n], o.next); err != nil {
			return err
		}
		if err := o.write(o.buf[:n]); err != nil {
			return err
		}
	}
	return nil
}

func (o *ordered) write(p []byte) error {
	o.next += int64(len(p))
	_, err := o.w.Write(p)
	return err
}

func (o *ordered) close() error {
	if o.file != nil {
		return o.file.Close()
	}
	return nil
}
