// Package site is a whole small site for tests and the demo: a lab network, the diskcast server in it with a boot
// directory made by mkimage, machines that are switched on, and the operator at the keyboard. It uses the programs as
// an operator does, through their command lines and nothing else.
package site

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/proc"
	"github.com/diskcast/diskcast/qemu-tests/lab"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
)

// Options of a site.
type Options struct {
	Bin string // folder with diskcast and mkimage; build/bin of the module when empty
	Dir string // everything of the site goes here

	Kernel, Modules string // of the node's userland; without Modules, Kernel is a Debian package with both
	Append          string // for the node's kernel command line
	Shim, GRUB      string // for Secure Boot; without, the boot directory has none
	// ARM64 gives kernel, shim and GRUB to a second boot directory, for machines of 64-bit ARM; nil: there is none.
	// Without Modules, its kernel is a package with both.
	ARM64 *osimage.Image

	MkimageArgs []string // more arguments for mkimage

	Lab       lab.Options
	ServerLog io.Writer
	ServeArgs []string // more arguments for diskcast serve
}

// Site is a running site.
type Site struct {
	*lab.Lab
	o     Options
	State string // the server's state directory
	Store string // the image store
	// Operator has the operator's commands run where the server is, when that is a machine of its own; nil: here.
	Operator func(ctx context.Context, args ...string) *exec.Cmd

	mu     sync.Mutex
	server *server
	nodes  []*Node
}

type server struct {
	pid   int
	ended chan struct{}
	err   error
}

// api and http are where the server answers.
func (s *Site) api() netip.AddrPort  { return netip.AddrPortFrom(s.address(), 8443) }
func (s *Site) http() netip.AddrPort { return netip.AddrPortFrom(s.address(), 8080) }

func (s *Site) address() netip.Addr {
	if s.o.Lab.IPv6 {
		return lab.Server6.Addr()
	}
	return lab.Server
}

// DHCPRange is what the server hands out.
const DHCPRange = "10.77.0.100-10.77.0.199"

// New builds the site and starts its server.
func New(ctx context.Context, o Options) (*Site, error) {
	s, err := Bare(o)
	if err != nil {
		return nil, err
	}
	if err := s.prepare(ctx); err != nil {
		s.Close()
		return nil, err
	}
	if err := s.Serve(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Bare is a site whose server is a machine in the lab: none is started here.
func Bare(o Options) (*Site, error) {
	if o.Bin == "" {
		o.Bin = filepath.Join(osimage.ModuleRoot(), "build", "bin")
	}
	if o.ServerLog == nil {
		o.ServerLog = io.Discard
	}
	l, err := lab.New(o.Lab)
	if err != nil {
		return nil, err
	}
	state := filepath.Join(o.Dir, "state")
	return &Site{Lab: l, o: o, State: state, Store: filepath.Join(state, "images")}, nil
}

// prepare makes the server's identity and the boot directory.
func (s *Site) prepare(ctx context.Context) error {
	if err := os.MkdirAll(s.State, 0o700); err != nil {
		return err
	}
	var id struct{ Token, Pin string }
	if err := s.JSON(ctx, &id, "token", "--state", s.State, "--json"); err != nil {
		return err
	}
	args := []string{"--shim", "none"}
	if s.o.Shim != "" {
		args = []string{"--shim", s.o.Shim, "--grub", s.o.GRUB}
	}
	if s.o.Modules != "" {
		args = append(args, "--modules-from", s.o.Modules)
	}
	args = append(args, s.o.MkimageArgs...)
	common := []string{"--server", "https://" + s.api().String(), "--pin", id.Pin, "--append", s.o.Append}
	if im := s.o.ARM64; im != nil {
		of := []string{"--kernel", im.Kernel, "--shim", im.Shim, "--grub", im.GRUB, "--console", "ttyAMA0", "--out",
			s.bootDir() + "-arm64"}
		if im.Modules != "" {
			of = append(of, "--modules-from", im.Modules)
		}
		if err := s.mkimage(ctx, slices.Concat(common, of)); err != nil {
			return err
		}
	}
	return s.mkimage(ctx, slices.Concat(args, common, []string{"--kernel", s.o.Kernel, "--console", "ttyS0,115200",
		"--out", s.bootDir()}))
}

func (s *Site) mkimage(ctx context.Context, args []string) error {
	return proc.Run(ctx, nil, filepath.Join(s.o.Bin, "mkimage"), args...)
}

func (s *Site) bootDir() string { return filepath.Join(s.o.Dir, "boot") }

// Serve starts the server and waits until it answers.
func (s *Site) Serve(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server != nil {
		return errors.New("the server runs already")
	}
	dhcp := []string{"--dhcp-range", DHCPRange}
	if s.o.Lab.IPv6 {
		dhcp = []string{"--address", s.address().String(), "--ra"}
	}
	args := append(append([]string{"serve", "--state", s.State, "--interface", lab.Bridge, "--dhcp", "full"}, dhcp...),
		"--boot-dir", s.bootDir(), "--http", s.http().String(), "--listen", s.api().String())
	args = append(args, s.o.ServeArgs...)
	cmd := proc.Command(context.WithoutCancel(ctx), filepath.Join(s.o.Bin, "diskcast"), args...)
	last := &lastWords{}
	cmd.Stdout = io.MultiWriter(s.o.ServerLog, last)
	cmd.Stderr = cmd.Stdout
	if err := s.Lab.Start(cmd); err != nil {
		return fmt.Errorf("diskcast serve: %w", err)
	}
	srv := &server{pid: cmd.Process.Pid, ended: make(chan struct{})}
	go func() { // ends with the server
		if err := cmd.Wait(); err != nil {
			srv.err = fmt.Errorf("diskcast serve: %w: %s", err, last)
		}
		close(srv.ended)
	}()
	if err := s.answers(ctx, srv); err != nil {
		_ = syscall.Kill(srv.pid, syscall.SIGKILL)
		return err
	}
	s.server = srv
	return nil
}

// answers waits until the server accepts connections on both its ports.
func (s *Site) answers(ctx context.Context, srv *server) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for _, port := range []netip.AddrPort{s.api(), s.http()} {
		for {
			err := s.Do(func() error {
				c, err := net.DialTimeout("tcp", port.String(), time.Second)
				if err == nil {
					c.Close()
				}
				return err
			})
			if err == nil {
				break
			}
			select {
			case <-srv.ended:
				return fmt.Errorf("the server ended at once: %w", srv.err)
			case <-ctx.Done():
				return fmt.Errorf("the server does not answer on %v: %w", port, err)
			case <-tick.C:
			}
		}
	}
	return nil
}

// KillServer ends the server the hard way.
func (s *Site) KillServer() { s.stopServer(syscall.SIGKILL) }

func (s *Site) stopServer(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		return
	}
	_ = syscall.Kill(s.server.pid, sig)
	<-s.server.ended
	s.server = nil
}

var errStopped = errors.New("the server was stopped")

// ServerError is why the server has ended, or nil while it runs.
func (s *Site) ServerError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		return errStopped
	}
	select {
	case <-s.server.ended:
		return s.server.err
	default:
		return nil
	}
}

// Run runs one of the operator's commands and returns what it printed on standard output.
func (s *Site) Run(ctx context.Context, args ...string) (string, error) {
	cmd := s.command(ctx, args...)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := s.Lab.Start(cmd); err != nil {
		return "", err
	}
	if err := cmd.Wait(); err != nil {
		return out.String(), fmt.Errorf("diskcast %s: %w: %s", strings.Join(args, " "), err,
			strings.TrimSpace(stderr.String()))
	}
	return out.String(), nil
}

// Operate is Run for a command that talks to the server.
func (s *Site) Operate(ctx context.Context, args ...string) (string, error) {
	return s.Run(ctx, append(args, s.where()...)...)
}

// command is diskcast with arguments, where the operator is.
func (s *Site) command(ctx context.Context, args ...string) *exec.Cmd {
	if s.Operator != nil {
		return s.Operator(ctx, append([]string{"diskcast"}, args...)...)
	}
	return proc.Command(ctx, filepath.Join(s.o.Bin, "diskcast"), args...)
}

// where says which server is meant; on the server's own machine nobody has to.
func (s *Site) where() []string {
	if s.Operator != nil {
		return nil
	}
	return []string{"--state", s.State, "--server", "https://" + s.api().String()}
}

// JSON runs a command whose output is one JSON document.
func (s *Site) JSON(ctx context.Context, into any, args ...string) error {
	out, err := s.Run(ctx, args...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		return fmt.Errorf("diskcast %s: %w in %q", strings.Join(args, " "), err, out)
	}
	return nil
}

// Ask is JSON for a command that talks to the server.
func (s *Site) Ask(ctx context.Context, into any, args ...string) error {
	return s.JSON(ctx, into, append(append(args, "--json"), s.where()...)...)
}

// Import puts a disk into the image store.
func (s *Site) Import(ctx context.Context, name, disk string) error {
	_, err := s.Run(ctx, "image", "import", disk, "--name", name, "--store", s.Store)
	return err
}

// Close pulls every plug and takes the network down.
func (s *Site) Close() {
	s.mu.Lock()
	nodes := s.nodes
	s.mu.Unlock()
	for _, n := range nodes {
		n.Unplug()
	}
	s.stopServer(syscall.SIGTERM)
	s.Lab.Close()
}

// lastWords keeps the end of what a program said.
type lastWords struct {
	mu  sync.Mutex
	buf []byte
}

func (l *lastWords) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, p...)
	if over := len(l.buf) - 4096; over > 0 {
		l.buf = l.buf[over:]
	}
	return len(p), nil
}

func (l *lastWords) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.TrimSpace(string(l.buf))
}
