// Package program runs programs of the server's owner: with nothing of the server's environment, in a process group
// that ends with them when their time is over.
package program

import (
	"errors"
	"os/exec"
	"syscall"
	"time"
)

// path is where programs find others.
const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Run runs a command that was made with a context. Its environment is what is set already and PATH. When the context
// ends, so does all that it started. One that exits with 0 and leaves something behind that has its output open is
// well; what that one prints after a second is not taken.
func Run(cmd *exec.Cmd) error {
	cmd.Env = append(cmd.Env, path)
	cmd.Dir = "/"
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		return nil // only said of one that exited with 0
	}
	return err
}
