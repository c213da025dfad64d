// Package uml runs a part of this program in user-mode Linux (Debian's package user-mode-linux): a Linux kernel that is
// a process, here with the host's files as its root and this very program as its process 1. It starts in two seconds
// and has file systems that the host's kernel lacks, and root in it has all capabilities, which root of a container has
// not.
//
// What a guest is to do must be made known by Handle in an init function, because the program that starts as process 1
// there never gets to its main. Task and result go through files in a directory that both sides see; the kernel's
// command line names it.
package uml

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/diskcast/diskcast/internal/testenv/proc"
)

const (
	// Program is the kernel that must be installed.
	Program = "linux.uml"
	// Disk is the device that Task.Disk is inside.
	Disk = "/dev/ubda"
	// Mounts is a directory inside where a file system can be mounted.
	Mounts = "/mnt/fs"
)

// ErrAbsent is wrapped when the guest's kernel has not the file system.
var ErrAbsent = errors.New("the guest's kernel has no such file system")

// Task is what a guest is to do.
type Task struct {
	Name string   // that was given to Handle
	Disk string   // file or device of the host
	More []string // further disks: /dev/ubdb and on
	FS   string   // the file system that its kernel must have, as mount calls it
	Args []string // for the function
}

type result struct {
	Out    []byte // JSON would change a string that is not UTF-8
	Error  string
	Absent bool
}

// A word of the kernel's command line that the kernel does not know is in the environment of process 1.
const (
	envDir     = "DISKCAST_GUEST"
	taskFile   = "task.json"
	resultFile = "result.json"
)

// Run starts a guest, has it do the task and returns what the task's function did. Its memory is kept in dir ("": where
// temporary files are), whose name must not hold commas, colons or blanks. The guest ends with ctx or with this
// process.
func Run(ctx context.Context, dir string, t Task) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(dir, "guest")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if tmp, err = filepath.Abs(tmp); err != nil {
		return "", err
	}
	var disks []string
	for i, path := range append([]string{t.Disk}, t.More...) {
		image, err := filepath.Abs(path)
		if err != nil {
			return "", err
		}
		// A link, because the name of the image could mean something to the kernel.
		disk := filepath.Join(tmp, fmt.Sprintf("disk%d", i))
		if err := os.Symlink(image, disk); err != nil {
			return "", err
		}
		disks = append(disks, fmt.Sprintf("ubd%d=%s", i, disk))
	}
	if err := save(filepath.Join(tmp, taskFile), t); err != nil {
		return "", err
	}
	cmd := proc.Command(ctx, Program, append([]string{"mem=192M", "root=/dev/root", "rootfstype=hostfs", "rw", "quiet",
		"init=" + self, "con=null", "con0=null,fd:1", "panic=-1", envDir + "=" + tmp}, disks...)...)
	preloaded, err := preload(ctx, tmp)
	if err != nil {
		return "", err
	}
	cmd.Env = append(append(os.Environ(), "TMPDIR="+tmp), preloaded...) // where it keeps its memory
	var console bytes.Buffer
	cmd.Stdout, cmd.Stderr = &console, &console
	ended := proc.Start(cmd)
	if ended == nil {
		ended = cmd.Wait()
	}
	if ctx.Err() != nil {
		ended = context.Cause(ctx)
	}
	var r result
	if err := load(filepath.Join(tmp, resultFile), &r); err != nil {
		return "", fmt.Errorf("user-mode Linux left no result: %w: %s", errors.Join(ended, err),
			bytes.TrimSpace(console.Bytes()))
	}
	switch {
	case r.Absent:
		return "", fmt.Errorf("%w: %s", ErrAbsent, t.FS)
	case r.Error != "":
		return "", fmt.Errorf("in user-mode Linux: %s\n%s", r.Error, bytes.TrimSpace(console.Bytes()))
	}
	return string(r.Out), nil
}

func save(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}

func load(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}
