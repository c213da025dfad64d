package restoring

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/diskcast/diskcast/agent/bootos"
	"github.com/diskcast/diskcast/agent/efiboot"
	"github.com/diskcast/diskcast/agent/node"
	"github.com/diskcast/diskcast/internal/session"
)

// Leave makes the machine's boot entry, unless it has it since before a shell, and leaves the network userland in the
// way that the descriptor says.
func (j *job) Leave(ctx context.Context, exit *node.Exit) {
	if !j.whole {
		j.enter(ctx)
	}
	method, appendix := session.BootKexec, ""
	if j.d.Boot != nil {
		method, appendix = j.d.Boot.Method, j.d.Boot.Append
	}
	if method != session.BootKexec && method != session.BootShell {
		words := "as the session asks"
		if j.result.Passphrase != "" {
			words += "; the passphrase for the disk's boot loader was not used, which a start by kexec alone does"
		}
		if method == session.BootReboot {
			words += j.once()
		}
		exit.Leave(ctx, session.Info, method, words)
		return
	}
	what, err := j.o.Boot.Prepare(ctx, j.result, appendix)
	if err != nil {
		j.restart(ctx, exit, err)
		return
	}
	exit.Say(ctx, session.Info, "kexec: "+what)
	err = j.o.Boot.Kexec()
	exit.Leave(ctx, session.Info, session.BootReboot,
		fmt.Sprintf("kexec failed, so the firmware has to start the disk: %v%s", err, j.once()))
}

// once has a restart come to the disk, as kexec would have, and says so behind other words. Of a disk of which one
// partition was restored the firmware is left alone.
func (j *job) once() string {
	if j.o.Once == nil || j.result.Partition > 0 {
		return ""
	}
	if words := j.o.Once(); words != "" {
		return "; " + words
	}
	return ""
}

// enter makes the machine's boot entry for the disk. It is reported in any case: a disk that will not start by itself
// is said to be one.
func (j *job) enter(ctx context.Context) {
	if j.result.Partition > 0 {
		level, words := j.partitionWords()
		j.o.Report.Step(session.StepEntry, level, words, nil)
		return
	}
	level := session.Info
	words, err := j.guardedEntry(ctx)
	switch {
	case errors.Is(err, efiboot.ErrUnbootable):
		level, words = session.Error, err.Error()
	case err != nil:
		level, words = session.Warn, err.Error()
	}
	j.o.Report.Step(session.StepEntry, level, words, nil)
}

// partitionWords say what starts a machine of which one partition was restored, and what on its disk looks for the file
// system that was in it before.
func (j *job) partitionWords() (level, words string) {
	level = session.Info
	words = fmt.Sprintf("only partition %d was restored: the firmware's boot entries and the disk's boot code are as "+
		"they were", j.result.Partition)
	if j.result.Gone == "" {
		return level, words
	}
	files, err := j.o.Boot.Mentions(j.result, j.result.Gone)
	switch {
	case err != nil:
		level = session.Warn
		words += fmt.Sprintf("; whether something on the disk names the file system %s, which is gone, is not "+
			"known: %v", j.result.Gone, err)
	case len(files) > 0:
		level = session.Warn
		words += fmt.Sprintf("; the file system %s is gone, and is named by: %s", j.result.Gone,
			strings.Join(files, ", "))
	}
	return level, words
}

// guardedEntry keeps a panic, which would be a bug, from taking a good restore with it.
func (j *job) guardedEntry(ctx context.Context) (words string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("no boot entry was made, because the agent is broken, please report this: %v\n%s", p,
				debug.Stack())
		}
	}()
	return j.o.Entry(ctx, j.result)
}

// restart leaves the disk to the firmware. That the machine's own loader must do what is on the disk is no fault; that
// nothing can be started from the disk is one, although the restore itself is done.
func (j *job) restart(ctx context.Context, exit *node.Exit, err error) {
	var own *bootos.Restart
	level, words := session.Info, fmt.Sprintf("kexec is impossible, so the firmware has to start the disk: %v", err)
	switch {
	case errors.Is(err, bootos.ErrNoSystem):
		level = session.Error
		words = fmt.Sprintf("the disk is written, but %v; a restart will not start it either: see whether the image "+
			"is a "+
			"system for this machine", err)
	case errors.As(err, &own):
		words = fmt.Sprintf("the machine's own boot loader starts the disk, through the firmware: %v", err)
	}
	if level != session.Error { // the network before a disk that nothing starts from
		words += j.once()
	}
	exit.Leave(ctx, level, session.BootReboot, words)
}
