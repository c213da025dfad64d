package node_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/agent/bootos"
	"github.com/diskcast/diskcast/agent/efiboot"
	"github.com/diskcast/diskcast/agent/imaging"
	"github.com/diskcast/diskcast/agent/node"
	"github.com/diskcast/diskcast/agent/restoring"
	"github.com/diskcast/diskcast/internal/rescue"
	"github.com/diskcast/diskcast/internal/session"
)

// fake is a server, a disk and a machine in one: it hands out descriptors and writes down what happens.
type fake struct {
	descs chan *session.Descriptor
	errs  chan error

	mu  sync.Mutex
	log []string

	restore func(ctx context.Context, d *session.Descriptor, casts <-chan *session.Cast) error
	entry   error
	bug     bool // in making the boot entry
	prepare error
	kexec   error
	reboot  error
	flush   error
	once    string // what the firmware is told before a restart
	nobody  error  // could come in by a shell
	shell   func(ctx context.Context) error
	left    chan string // how the machine left; nothing runs after it
	stopped context.Context
	// result is what restore gives; nil: of a whole disk. mentions are files that name what is gone.
	result   *imaging.Result
	mentions []string
}

func (f *fake) note(format string, args ...any) {
	f.mu.Lock()
	f.log = append(f.log, fmt.Sprintf(format, args...))
	f.mu.Unlock()
}

func (f *fake) Descriptor(ctx context.Context, after uint64, wait time.Duration) (*session.Descriptor, error) {
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case d := <-f.descs:
		return d, nil
	case err := <-f.errs:
		return nil, err
	case <-t.C:
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (f *fake) Session(id string)   { f.note("session %s", id) }
func (f *fake) Refused(int, string) {}
func (f *fake) Step(step, level, message string, _ *session.Progress) {
	f.note("%s %s %s", level, step, message)
}
func (f *fake) Progress(string, session.Progress) {}
func (f *fake) Flush(context.Context) error       { f.note("flush"); return f.flush }

func (f *fake) enter(context.Context, *imaging.Result) (string, error) {
	if f.bug {
		panic("index out of range")
	}
	return "made", f.entry
}

func (f *fake) Prepare(_ context.Context, _ *imaging.Result, appendix string) (string, error) {
	f.note("prepare %s", appendix)
	return "Debian", f.prepare
}

// leave ends the machine: a call that succeeds does not return.
func (f *fake) leave(how string, err error) error {
	f.note("%s", how)
	if err != nil {
		return err
	}
	f.left <- how
	<-f.stopped.Done()
	runtime.Goexit() // the machine is off
	return nil
}
func (f *fake) Kexec() error                                       { return f.leave("KEXEC", f.kexec) }
func (f *fake) Mentions(*imaging.Result, string) ([]string, error) { return f.mentions, nil }
func (f *fake) Reboot() error                                      { return f.leave("REBOOT", f.reboot) }
func (f *fake) Poweroff() error                                    { return f.leave("POWEROFF", nil) }

func (f *fake) run(ctx context.Context, d *session.Descriptor, casts []<-chan *session.Cast) (*imaging.Result, error) {
	f.note("restore %s", d.Image.Name)
	if f.restore != nil {
		if err := f.restore(ctx, d, casts[0]); err != nil {
			return nil, err
		}
	}
	if f.result != nil {
		return f.result, nil
	}
	return &imaging.Result{}, nil
}

func (f *fake) Reach(*rescue.Spec) error { return f.nobody }

func (f *fake) Open(ctx context.Context, s *rescue.Spec) error {
	f.note("shell for %v", s.Time())
	if f.shell == nil {
		return nil
	}
	return f.shell(ctx)
}

func (f *fake) restoring() node.Action {
	return restoring.Action(restoring.Options{Restore: f.run, Entry: f.enter, Once: func() string { return f.once },
		Boot: f, Report: f, Shell: f})
}

func restore(serial uint64, name string, boot *session.Boot) *session.Descriptor {
	return &session.Descriptor{V: 1, Session: "s-" + name, Serial: serial, Action: session.Restore, Boot: boot,
		Image: &session.Image{Name: name, Manifest: "sha256:" + name}, Target: &session.Target{},
		Cast: &session.Cast{ID: 1}}
}

// play runs a node in a bubble of time until script returns, and returns what happened.
func play(t *testing.T, f *fake, script func(f *fake)) []string {
	t.Helper()
	return playWith(t, f, map[string]node.Action{session.Restore: f.restoring()}, script)
}

func playWith(t *testing.T, f *fake, actions map[string]node.Action, script func(f *fake)) []string {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f.descs, f.errs, f.left = make(chan *session.Descriptor), make(chan error), make(chan string, 1)
		ctx, cancel := context.WithCancel(t.Context())
		// The machine is gone after the node's own context: it does not come back from a kexec to a node that goes on.
		stopped, stop := context.WithCancel(t.Context())
		f.stopped = stopped
		n := node.New(node.Options{API: f, Report: f, Machine: f, Actions: actions})
		ended := make(chan error, 1)
		go func() { ended <- n.Run(ctx) }()
		script(f)
		synctest.Wait()
		select {
		case err := <-ended:
			t.Errorf("the node ended by itself: %v", err)
		default:
		}
		cancel()
		stop()
		<-ended
	})
	return f.log
}

func check(t *testing.T, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestRestoreAndKexec(t *testing.T) {
	got := play(t, &fake{}, func(f *fake) {
		f.descs <- &session.Descriptor{Serial: 1, Action: session.Idle}
		f.descs <- restore(2, "a", &session.Boot{Method: session.BootKexec, Append: "quiet"})
		<-f.left
		// The server now knows that the node is done and says so; that must not stop the kexec, nor start anything.
		f.descs <- &session.Descriptor{Serial: 3, Action: session.Idle}
	})
	check(t, got, "session ", "session s-a", "restore a", "info entry made", "prepare quiet", "info boot kexec: Debian",
		"flush", "KEXEC")
}

func TestWaysToLeave(t *testing.T) {
	tests := []struct {
		name string
		fake *fake
		boot *session.Boot
		want []string
	}{
		{"no word about it means kexec", &fake{}, nil,
			[]string{"prepare ", "info boot kexec: Debian", "flush", "KEXEC"}},
		{"reboot", &fake{}, &session.Boot{Method: session.BootReboot},
			[]string{"info boot reboot: as the session asks", "flush", "REBOOT"}},
		{"reboot, to the disk at once", &fake{once: "Boot0003 next"}, &session.Boot{Method: session.BootReboot},
			[]string{"info boot reboot: as the session asks; Boot0003 next", "flush", "REBOOT"}},
		{"poweroff leaves the firmware's next start alone", &fake{once: "Boot0003 next"},
			&session.Boot{Method: session.BootPoweroff},
			[]string{"info boot poweroff: as the session asks", "flush", "POWEROFF"}},
		{"kexec is impossible, and the firmware starts the disk next",
			&fake{once: "Boot0003 next", prepare: errors.New("locked down")}, nil,
			[]string{"prepare ", "info boot reboot: kexec is impossible, so the firmware has to start the disk: " +
				"locked down; Boot0003 next", "flush", "REBOOT"}},
		{"nothing to start, and so the network first", &fake{once: "Boot0003 next", prepare: fmt.Errorf("%w: no",
			bootos.ErrNoSystem)}, nil,
			[]string{"prepare ", "error boot reboot: the disk is written, but nothing on the disk can be started: " +
				"no; a restart will not start it either: see whether the image is a system for this machine", "flush",
				"REBOOT"}},
		{"poweroff", &fake{}, &session.Boot{Method: session.BootPoweroff},
			[]string{"info boot poweroff: as the session asks", "flush", "POWEROFF"}},
		{"the loader's own work",
			&fake{prepare: fmt.Errorf("GRUB, /grub/grub.cfg on partition 1: %w",
				&bootos.Restart{Entry: "Debian, with Xen", Why: "it loads no Linux kernel"})}, nil,
			[]string{"prepare ", "info boot reboot: the machine's own boot loader starts the disk, through the " +
				"firmware: " +
				`GRUB, /grub/grub.cfg on partition 1: menu entry "Debian, with Xen": it loads no Linux kernel`, "flush",
				"REBOOT"}},
		{"nothing to start", &fake{prepare: fmt.Errorf("%w: there is no boot loader on it, and no kernel is in /boot",
			bootos.ErrNoSystem)}, nil,
			[]string{"prepare ", "error boot reboot: the disk is written, but nothing on the disk can be started: " +
				"there is no boot loader on it, and no kernel is in /boot; " +
				"a restart will not start it either: see whether the image is a system for this machine", "flush",
				"REBOOT"}},
		{"kexec is impossible", &fake{prepare: errors.New("locked down")}, nil,
			[]string{"prepare ", "info boot reboot: kexec is impossible, so the firmware has to start the disk: " +
				"locked down", "flush", "REBOOT"}},
		{"kexec fails", &fake{kexec: errors.New("EBUSY")}, nil,
			[]string{"prepare ", "info boot kexec: Debian", "flush", "KEXEC",
				"info boot reboot: kexec failed, so the firmware has to start the disk: EBUSY", "flush", "REBOOT"}},
		{"the server is away at the end", &fake{flush: errors.New("away")}, nil,
			[]string{"prepare ", "info boot kexec: Debian", "flush", "KEXEC"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := play(t, tt.fake, func(f *fake) {
				f.descs <- restore(1, "a", tt.boot)
				<-f.left
			})
			check(t, got, append([]string{"session s-a", "restore a", "info entry made"}, tt.want...)...)
		})
	}
}

// TestNoEntry leaves a machine without a boot entry: the restore is good, and the operator is told before the node
// leaves.
func TestNoEntry(t *testing.T) {
	for _, c := range []struct {
		fake *fake
		want string
	}{
		{&fake{entry: fmt.Errorf("%w: memory full", efiboot.ErrUnbootable)},
			"error entry this disk will not start by itself: memory full"},
		{&fake{entry: errors.New("firmware may start either of two disks")},
			"warn entry firmware may start either of two disks"},
		{&fake{bug: true}, "warn entry no boot entry was made, because the agent is broken, please report this: " +
			"index out of range"},
	} {
		got := play(t, c.fake, func(f *fake) {
			f.descs <- restore(1, "a", nil)
			<-f.left
		})
		for i, line := range got {
			got[i], _, _ = strings.Cut(line, "\n") // without the stack
		}
		check(t, got, "session s-a", "restore a", c.want, "prepare ", "info boot kexec: Debian", "flush", "KEXEC")
	}
}

// TestFailuresKeepTheNode goes through everything that can go wrong, one after another, on one node.
func TestFailuresKeepTheNode(t *testing.T) {
	stay := &session.Boot{Method: session.BootStay}
	f := &fake{restore: func(_ context.Context, d *session.Descriptor, _ <-chan *session.Cast) error {
		switch d.Image.Name {
		case "bad":
			return errors.New("chunk 3 is damaged")
		case "bug":
			panic("index out of range")
		}
		return nil
	}, reboot: errors.New("EPERM")}
	got := play(t, f, func(f *fake) {
		say := func(d *session.Descriptor) { f.descs <- d; synctest.Wait() }
		say(restore(1, "bad", stay))
		f.errs <- errors.New("unknown document version")
		say(&session.Descriptor{Serial: 2, Session: "c", Action: session.Capture})
		say(restore(3, "bug", stay))
		say(restore(4, "moved", &session.Boot{Method: session.BootReboot}))
		say(restore(5, "good", stay))
		say(&session.Descriptor{Serial: 6, Action: session.Idle})
	})
	for i, line := range got {
		got[i], _, _ = strings.Cut(line, "\n") // without the stack
	}
	check(t, got,
		"session s-bad", "restore bad", "error failed chunk 3 is damaged",
		"session c", "error failed this agent does not know the action \"capture\": it is older than the server; "+
			"make the boot directory anew with the mkimage of the server's release, and start the machine again",
		"session s-bug", "restore bug", "error failed the agent is broken, please report this: index out of range",
		"session s-moved", "restore moved", "info entry made", "info boot reboot: as the session asks", "flush",
		"REBOOT", "error failed the machine does not obey: reboot: EPERM; switch it off and on",
		"session s-good", "restore good", "info entry made", "info boot stay: as the session asks", "flush",
		"session ")
}

// TestReplaced gives the node another task in the middle of a restore.
func TestReplaced(t *testing.T) {
	for name, next := range map[string]*session.Descriptor{
		"session ":    {Serial: 2, Action: session.Idle},
		"session s-b": restore(2, "b", &session.Boot{Method: session.BootStay}),
	} {
		f := &fake{}
		f.restore = func(ctx context.Context, d *session.Descriptor, _ <-chan *session.Cast) error {
			if d.Image.Name == "b" {
				return nil
			}
			<-ctx.Done()
			f.note("cancelled: %v", context.Cause(ctx))
			return fmt.Errorf("receiving: %w", context.Cause(ctx))
		}
		got := play(t, f, func(f *fake) {
			f.descs <- restore(1, "a", nil)
			f.descs <- next
		})
		want := []string{"session s-a", "restore a", "cancelled: " + node.ErrReplaced.Error(), name}
		if next.Action == session.Restore {
			want = append(want, "restore b", "info entry made", "info boot stay: as the session asks", "flush")
		}
		check(t, got, want...)
	}
}

// TestNewCast has the server start anew with another cast of the same session: the restore goes on.
func TestNewCast(t *testing.T) {
	f := &fake{}
	f.restore = func(ctx context.Context, _ *session.Descriptor, casts <-chan *session.Cast) error {
		for c := range casts {
			f.note("cast %v", c)
			if c == nil {
				break
			}
		}
		return nil
	}
	got := play(t, f, func(f *fake) {
		d := restore(1, "a", &session.Boot{Method: session.BootPoweroff})
		f.descs <- d
		same := *d
		same.Serial = 2
		f.descs <- &same
		other := same
		other.Serial, other.Cast = 3, &session.Cast{ID: 2}
		f.descs <- &other
		synctest.Wait()
		none := other
		none.Serial, none.Cast = 4, nil
		f.descs <- &none
		<-f.left
	})
	check(t, got, "session s-a", "restore a", fmt.Sprintf("cast %v", &session.Cast{ID: 2}), "cast <nil>",
		"info entry made", "info boot poweroff: as the session asks", "flush", "POWEROFF")
}

// TestPartitionRestored leaves the machine's boot entries alone, and says what on the disk names the file system that
// is gone.
func TestPartitionRestored(t *testing.T) {
	const gone = "only partition 2 was restored: the firmware's boot entries and the disk's boot code are as they were"
	for want, f := range map[string]*fake{
		"info entry " + gone: {result: &imaging.Result{Partition: 2}},
		"warn entry " + gone + "; the file system abcd is gone, and is named by: /etc/fstab of partition 3": {
			result:   &imaging.Result{Partition: 2, Gone: "abcd"},
			mentions: []string{"/etc/fstab of partition 3"}},
	} {
		got := play(t, f, func(f *fake) {
			f.descs <- restore(1, "a", nil)
			<-f.left
		})
		check(t, got, "session s-a", "restore a", want, "prepare ", "info boot kexec: Debian", "flush", "KEXEC")
	}
}
