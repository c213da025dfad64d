package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/diskcast/diskcast/internal/plain"
)

// server is a diskcast of a test's own, on 127.0.0.1.
type server struct {
	program, state, port, pin string
	log                       string
	cmd                       *exec.Cmd
	ended                     chan struct{}
}

// startServer makes its state in a folder and starts it for a boot directory; hello waits until it answers.
func startServer(ctx context.Context, program, temp, dir string) (*server, error) {
	s := &server{program: program, state: filepath.Join(temp, "state"), log: filepath.Join(temp, "server.log"),
		ended: make(chan struct{})}
	var id struct{ Pin string }
	if err := s.ask(ctx, &id, "token", "--make", "--state", s.state, "--json"); err != nil {
		return nil, err
	}
	s.pin = id.Pin
	files, err := freePort()
	if err != nil {
		return nil, err
	}
	if s.port, err = freePort(); err != nil {
		return nil, err
	}
	log, err := os.Create(s.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.cmd = exec.Command(program, "serve", "--config", "none", "--state", s.state, "--interface", "lo", "--dhcp", "off",
		"--tftp=false", "--querier=false", "--boot-dir", dir, "--listen", "127.0.0.1:"+s.port, "--http",
		"127.0.0.1:"+files)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	// A signal from the terminal is for this program, which ends the server; if this one is killed, the kernel does.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	started := make(chan error, 1)
	go func() { // ends with the server
		// The kernel's signal is sent when the thread ends that started it (prctl(2)).
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(s.ended)
		err := s.cmd.Start()
		started <- err
		if err == nil {
			_ = s.cmd.Wait() // what it said is in its log
		}
	}()
	return s, <-started
}

// freePort is a TCP port that nobody has at this moment.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// stopTime is how long the server may take to end; what it has is in a temporary folder.
const stopTime = 10 * time.Second

// stop ends the server, and waits until it has ended.
func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-s.ended:
	case <-time.After(stopTime):
		_ = s.cmd.Process.Kill()
		<-s.ended
	}
}

// ask runs a command of diskcast whose output is a JSON document.
func (s *server) ask(ctx context.Context, into any, args ...string) error {
	cmd := exec.CommandContext(ctx, s.program, args...)
	var stderr bytes.Buffer
	cmd.Stderr, cmd.WaitDelay = &stderr, time.Second
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, into)
	}
	if err != nil {
		return fmt.Errorf("diskcast %s: %w: %s", args[0], err, plain.Line(stderr.String(), 500))
	}
	return nil
}

// helloEvery is how often the server is asked whether a node came.
const helloEvery = 500 * time.Millisecond

// hello waits for the one node that there can be.
func (s *server) hello(ctx context.Context) (*triedNode, error) {
	tick := time.NewTicker(helloEvery)
	defer tick.Stop()
	for {
		var nodes []triedNode
		// Until it serves, it does not answer; then it does, or has ended.
		err := s.ask(ctx, &nodes, "node", "list", "--json", "--state", s.state, "--server", "https://127.0.0.1:"+s.port)
		if err == nil && len(nodes) > 0 && nodes[0].Agent != "" {
			return &nodes[0], nil
		}
		select {
		case <-s.ended:
			log, _ := os.ReadFile(s.log) // which may say nothing
			return nil, fmt.Errorf("the test's server ended: %s", plain.Line(string(log), 500))
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
	}
}
