package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/mkimage/machine"
)

// open makes an image of the store the machine's disk, by the program diskcast, and takes the firmware that it needs
// where nobody said which. The context ends when the disk cannot be read any more; done must be called when the machine
// is off, and tells whether all of it could be read.
func (o *runOptions) open(ctx context.Context, m *machine.Options, temp string, stderr io.Writer) (context.Context,
	func() error, error) {
	program, err := diskcast()
	if err != nil {
		return nil, nil, err
	}
	s := &imageStore{program: program, image: o.image, stderr: stderr}
	for _, x := range []struct{ flag, value string }{{"--store", o.store}, {"--state", o.state},
		{"--server", o.server}} {
		if x.value != "" {
			s.where = append(s.where, x.flag, x.value)
		}
	}
	fits, err := s.firmware(ctx)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case o.firmware == "":
		o.firmware = fits
	case (fits == "bios" || fits == "uefi") && fits != o.firmware:
		fmt.Fprintf(stderr, "mkimage: note: the image is one that starts by %s, and --firmware says %s\n", fits,
			o.firmware)
	}
	if o.export {
		m.Disk, m.Format = filepath.Join(temp, "disk.qcow2"), "qcow2"
		_, err = s.ask(ctx, "export", o.image, m.Disk, "--format", "qcow2")
		return ctx, func() error { return nil }, err
	}
	m.Socket, m.Format = filepath.Join(temp, "disk.sock"), "raw"
	if len(m.Socket) > maxSocket {
		return nil, nil, fmt.Errorf("%s: the name of a socket has at most %d bytes: have TMPDIR name a shorter folder",
			m.Socket, maxSocket)
	}
	return s.serve(ctx, m.Socket)
}

// maxSocket is how long the name of a Unix socket may be, in bytes (unix(7)).
const maxSocket = 107

// imageStore is where an image is, asked by the program diskcast.
type imageStore struct {
	program, image string
	where          []string // its flags for it
	stderr         io.Writer
}

func (s *imageStore) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.program, append(append([]string{"image"}, args...), s.where...)...)
	cmd.Stderr, cmd.WaitDelay = s.stderr, time.Second
	return cmd
}

func (s *imageStore) ask(ctx context.Context, args ...string) ([]byte, error) {
	out, err := s.command(ctx, args...).Output()
	if err != nil {
		return nil, fmt.Errorf("diskcast image %s %s: %w", args[0], plain.Line(s.image, 0), err)
	}
	return out, nil
}

// firmware is what the image needs; empty where either will do.
func (s *imageStore) firmware(ctx context.Context) (string, error) {
	out, _, err := answer(s.command(ctx, "show", s.image, "--json"))
	if err != nil {
		return "", fmt.Errorf("diskcast image show %s: %w", plain.Line(s.image, 0), err)
	}
	var shown struct{ Config struct{ Firmware string } }
	if err := json.Unmarshal(out, &shown); err != nil {
		return "", fmt.Errorf("diskcast image show: %w", err)
	}
	return shown.Config.Firmware, nil
}

// errUnserved is the end of a disk that the machine still has.
var errUnserved = errors.New("the machine's disk cannot be read any more: `diskcast image nbd` has ended")

// serve has diskcast serve the image's blocks on a socket, and waits until it does.
func (s *imageStore) serve(ctx context.Context, socket string) (context.Context, func() error, error) {
	const failFast = "--fail-fast"
	cmd := s.command(context.WithoutCancel(ctx), "nbd", s.image, socket, failFast) // it ends by done, after the machine
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	// A signal from the terminal is for this program, which ends it; if this one is killed, the kernel does.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	ready := make(chan error, 1)
	ended := make(chan struct{})
	var exit error
	served, cancel := context.WithCancelCause(ctx)
	go func() { // ends with the program
		// The kernel's signal is sent when the thread ends that started it (prctl(2)).
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer cancel(errUnserved)
		defer close(ended)
		if exit = cmd.Start(); exit != nil {
			ready <- exit
			return
		}
		r := bufio.NewReader(out)
		_, err := r.ReadString('\n')
		ready <- err
		_, _ = io.Copy(io.Discard, r)
		exit = cmd.Wait()
	}()
	done := func() error {
		if cmd.Process != nil {
			_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		}
		<-ended
		if exit != nil {
			return fmt.Errorf("diskcast image nbd %s: %w", plain.Line(s.image, 0), exit)
		}
		return nil
	}
	select {
	case err = <-ready: // a line, or its end without one
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		if ctx.Err() == nil {
			err = nil // it said why
		}
		return nil, nil, worst(done(), err, errUnserved)
	}
	return served, done, nil
}

// worst is the first error that is one.
func worst(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// diskcast is the program beside this one, or the one that is installed.
func diskcast() (string, error) {
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), "diskcast")
		if st, err := os.Stat(beside); err == nil && st.Mode().IsRegular() {
			return beside, nil
		}
	}
	name, err := exec.LookPath("diskcast")
	if err != nil {
		return "", fmt.Errorf("the program diskcast is needed, beside mkimage or in PATH: %w", err)
	}
	return name, nil
}
