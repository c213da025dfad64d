package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/awaited"
)

// maker starts a server, says its number, and is killed.
func maker(program, temp, dir string) {
	s, err := startServer(context.Background(), program, temp, dir)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(s.cmd.Process.Pid)
	select {}
}

// TestServerEnds: a server does not outlive a program that is killed.
func TestServerEnds(t *testing.T) {
	program, boot := diskcastInPath(t), made(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "maker")
	if err := os.Symlink(self, name); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, program, t.TempDir(), boot)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	var pid int
	if _, scan := fmt.Sscan(line, &pid); err != nil || scan != nil {
		t.Fatalf("%q, %v", line, err)
	}
	server := awaited.Find(t, pid)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	server.Ends(time.Minute)
}
