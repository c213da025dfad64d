package personalize

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/personal"
)

// script runs the operator's script in the restored system, as the first process of a PID namespace: what it leaves
// running ends with it.
func script(ctx context.Context, s *personal.Script, log *slog.Logger) thing {
	return thing{name: "script",
		may: func(t *tree) error {
			for _, dir := range []string{"/proc", "/dev"} {
				if st, err := t.stat(dir); err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
					return errors.Join(err, fmt.Errorf("the image has no folder %s, which a script needs", dir))
				}
			}
			if _, err := t.scratch(); err != nil {
				return err
			}
			return t.runs(s.Interpreter())
		},
		do: func(t *tree) (said string, err error) {
			scratch, err := t.scratch()
			if err != nil {
				return "", err
			}
			undo, err := t.runnable()
			defer func() { err = errors.Join(err, undo()) }()
			if err != nil {
				return "", err
			}
			if t.selinux {
				t.made = append(t.made, "what the script made") // nobody knows what
			}
			return t.run(ctx, s, scratch, log)
		}}
}

// elfMachines are the architectures of ELF programs that a node of each of Go's runs (System V ABI: e_machine).
var elfMachines = map[string]uint16{"amd64": 62, "arm64": 183, "riscv64": 243, "386": 3}

// runs refuses an interpreter that is not there, or is not for this node's processor.
func (t *tree) runs(program string) error {
	f, err := t.open(program, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if notThere(err) {
		return fmt.Errorf("the image has no %s to run it", program)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, 20)
	if _, err := f.ReadAt(head, 0); err != nil || !bytes.HasPrefix(head, []byte("\x7fELF")) {
		return fmt.Errorf("%s of the image is no program that this node can run", program)
	}
	machine := binary.LittleEndian.Uint16(head[18:])
	if head[5] == 2 { // the other byte order
		machine = binary.BigEndian.Uint16(head[18:])
	}
	if machine != elfMachines[runtime.GOARCH] {
		return fmt.Errorf("%s of the image is for another processor (ELF machine %d) than this node's (%s)", program,
			machine, runtime.GOARCH)
	}
	return nil
}

// scratch is a folder over which something in memory is mounted, so that the script itself is not left on the disk.
func (t *tree) scratch() (string, error) {
	for _, dir := range []string{"/run", "/tmp"} {
		if st, err := t.stat(dir); err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
			return dir, nil
		}
	}
	return "", errors.New("the image has neither a folder /run nor /tmp, of which a script needs one")
}

// runnable lets programs of the restored system be run, and mounts what they need. What is undone is so also after an
// error.
func (t *tree) runnable() (undo func() error, err error) {
	root := t.dir.Name()
	var mounted []string
	undo = func() (err error) {
		for i := len(mounted) - 1; i >= 0; i-- {
			err = errors.Join(err, unix.Unmount(mounted[i], unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW))
		}
		return errors.Join(err, remount(root, unix.MS_NOEXEC))
	}
	if err := remount(root, 0); err != nil {
		return undo, fmt.Errorf("letting programs of the restored system run: %w", err)
	}
	for _, m := range []struct {
		at, source, fstype string
		flags              uintptr
	}{{"/proc", "proc", "proc", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC}, {"/sys", "/sys", "", unix.MS_BIND},
		{"/dev", "/dev", "", unix.MS_BIND}, {"/run", "tmpfs", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV},
		{"/tmp", "tmpfs", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV}} {
		if st, err := t.stat(m.at); notThere(err) || err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR {
			continue
		}
		// By its descriptor: no link of the image leads it elsewhere.
		f, err := t.open(m.at, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		if err != nil {
			return undo, err
		}
		data := ""
		if m.fstype == "tmpfs" {
			data = "mode=1777,size=64m"
		}
		err = unix.Mount(m.source, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), m.fstype, m.flags, data)
		f.Close()
		if err != nil {
			return undo, fmt.Errorf("mounting %s in the restored system: %w", m.at, err)
		}
		at := filepath.Join(root, m.at)
		mounted = append(mounted, at)
		// What happens below it stays here.
		if err := unix.Mount("", at, "", unix.MS_PRIVATE, ""); err != nil {
			return undo, fmt.Errorf("mounting %s in the restored system: %w", m.at, err)
		}
	}
	return undo, nil
}

// remount sets the flags of the mount, which never has devices nor set-uid.
func remount(dir string, flags uintptr) error {
	return unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOATIME|flags, "")
}

// run runs the script and returns in words how it went.
func (t *tree) run(ctx context.Context, s *personal.Script, scratch string, log *slog.Logger) (string, error) {
	limit, err := s.Time()
	if err != nil {
		return "", err
	}
	const name = "diskcast-script"
	text := s.Run
	if !strings.HasPrefix(text, "#!") {
		text = "#!/bin/sh\n" + text
	}
	root := t.dir.Name()
	if err := os.WriteFile(filepath.Join(root, scratch, name), []byte(text), 0o700); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	out := &lines{log: func(line string) { log.Info("script: " + line) }}
	cmd := exec.CommandContext(ctx, scratch+"/"+name)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = "/", out, out, 10*time.Second
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C",
		"TERM=dumb"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Setsid: true,
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID, Pdeathsig: unix.SIGKILL}
	began := time.Now()
	err = cmd.Run()
	out.end()
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return "", fmt.Errorf("it was not done after %s and was ended%s", limit, out.last())
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case err != nil:
		return "", fmt.Errorf("it failed: %w%s", err, out.last())
	}
	return fmt.Sprintf("done in %.1f s, %d bytes of output%s", time.Since(began).Seconds(), out.bytes, out.lost()), nil
}

// Limits of what a script's output may fill of the node's log, which has room for 512 events.
const (
	maxLines = 200
	maxLine  = 512 // bytes; what is longer is several lines
	maxTail  = 800 // bytes that a failure tells
)

// lines hands output on line by line, bounded.
type lines struct {
	log   func(string)
	part  []byte // of a line that has not ended
	told  int
	bytes int64
	left  int64 // bytes that were not handed on
	tail  []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.bytes += int64(len(p))
	if l.tail = append(l.tail, p...); len(l.tail) > maxTail {
		l.tail = append([]byte(nil), l.tail[len(l.tail)-maxTail:]...)
	}
	for rest := p; len(rest) > 0; {
		n := min(len(rest), maxLine-len(l.part))
		i := bytes.IndexByte(rest[:n], '\n')
		if i >= 0 {
			n = i + 1
		}
		l.part, rest = append(l.part, rest[:n]...), rest[n:]
		if i >= 0 || len(l.part) == maxLine {
			l.flush()
		}
	}
	return len(p), nil
}

func (l *lines) flush() {
	switch line := strings.TrimRight(string(l.part), "\r\n"); {
	case l.told >= maxLines:
		l.left += int64(len(l.part))
	case line != "":
		l.told++
		l.log(line)
	}
	l.part = l.part[:0]
}

// end hands on a last line that does not end, and says what was left out.
func (l *lines) end() {
	l.flush()
	if l.left > 0 {
		l.log(fmt.Sprintf("(%d more bytes are left out)", l.left))
	}
}

// last is the end of the output, for a failure.
func (l *lines) last() string {
	words := strings.TrimSpace(strings.ToValidUTF8(string(l.tail), "\uFFFD"))
	if words == "" {
		return ", and printed nothing"
	}
	return ": " + strings.Join(strings.Fields(words), " ")
}

func (l *lines) lost() string {
	if l.left == 0 {
		return " in the node's log"
	}
	return fmt.Sprintf(", the first %d lines in the node's log", maxLines)
}
