package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// first says whether this is the program that the kernel started: process 1.
func first() bool { return os.Getpid() == 1 }

// searchPath is where the node's programs look for others.
const searchPath = "/usr/sbin:/usr/bin:/sbin:/bin:/bbin"

// kernelLevel is the severity up to which the kernel's messages go to the consoles from here on: warnings and worse.
const kernelLevel = 5

// prepare does what the first program of a system has to, beside the file systems: without it a shell finds no
// programs, and nobody can talk to the node itself.
func prepare(log *slog.Logger) {
	for name, value := range map[string]string{"PATH": searchPath, "USER": "root", "HOME": "/root"} {
		if err := os.Setenv(name, value); err != nil {
			log.Error("environment", "name", name, "err", err)
		}
	}
	if _, err := unix.Klogctl(unix.SYSLOG_ACTION_CONSOLE_LEVEL, make([]byte, kernelLevel)); err != nil {
		log.Warn("the kernel's messages on the consoles are as many as before", "err", err)
	}
	if err := setUp("lo"); err != nil {
		log.Error("the node cannot talk to itself", "err", err)
	}
}

// modprobe has the kernel find ours when it lacks a module. Until then there is none: a kernel asks for ciphers and the
// like while it starts, and each time it would wait for the whole program to be loaded, which cannot help it before the
// file systems are mounted.
func modprobe(root string) error {
	err := os.Symlink("../bbin/modprobe", filepath.Join(root, "sbin/modprobe"))
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	return err
}

// screens are terminals that all get the same. Each has a queue of its own, so that one that stands still holds up
// nothing else.
type screens []*async

// Write never fails, as those of async.
func (s screens) Write(p []byte) (int, error) {
	for _, a := range s {
		_, _ = a.Write(p) // never fails
	}
	return len(p), nil
}

// Close waits until all is written.
func (s screens) Close() {
	for _, a := range s {
		_ = a.Close() // never fails
	}
}

// openConsoles opens all terminals that the kernel writes to, whose names the file active has. Where none can be
// opened, fallback is it.
func openConsoles(active, dev string, fallback io.Writer) screens {
	var all screens
	data, err := os.ReadFile(active)
	for _, name := range strings.Fields(string(data)) {
		var f *os.File
		// A console without hardware behind it cannot be opened.
		if f, err = os.OpenFile(filepath.Join(dev, name), os.O_WRONLY|syscall.O_NOCTTY, 0); err == nil {
			all = append(all, newAsync(f))
		}
	}
	if len(all) == 0 {
		fmt.Fprintln(fallback, "uinit: no console can be opened:", err)
		return screens{newAsync(fallback)}
	}
	return all
}

// reapAll takes away each process that ended and whose parent did before it: the kernel makes those children of the
// first program. It does so until stop is closed.
func reapAll(stop <-chan struct{}, log *slog.Logger) {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	defer signal.Stop(ended)
	for {
		select {
		case <-ended:
			if err := own.reap("/proc"); err != nil {
				log.Warn("processes that ended stay in the list", "err", err)
			}
		case <-stop:
			return
		}
	}
}

// instead is what runs when this program cannot: a shell, on the kernel's console. Were there nothing, the kernel would
// panic. It returns only where even that fails.
func instead() error {
	return unix.Exec(shellPath, []string{shellPath}, append(os.Environ(), "PATH="+searchPath, "HOME=/root"))
}
