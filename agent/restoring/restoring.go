// Package restoring is the node's action "restore": the image goes to the disk, the machine gets a boot entry for it,
// and starts it.
package restoring

import (
	"context"
	"fmt"

	"github.com/diskcast/diskcast/agent/imaging"
	"github.com/diskcast/diskcast/agent/node"
	"github.com/diskcast/diskcast/internal/rescue"
	"github.com/diskcast/diskcast/internal/session"
)

// Restorer is imaging.Restore with its options filled in. It has a channel of casts for each disk of the descriptor.
type Restorer func(ctx context.Context, d *session.Descriptor, casts []<-chan *session.Cast) (*imaging.Result, error)

// Entry makes the machine start a restored disk by itself, and says what it did. An error says what the machine will do
// instead; the restore is good.
type Entry func(ctx context.Context, r *imaging.Result) (string, error)

// Booter starts what is on the disk.
type Booter interface {
	// Prepare loads the system that is on the disk, and says what it will start.
	Prepare(ctx context.Context, r *imaging.Result, appendix string) (string, error)
	// Kexec starts what Prepare loaded; it returns only when that failed.
	Kexec() error
	// Mentions lists the files of the disk's systems that name the UUID.
	Mentions(r *imaging.Result, uuid string) ([]string, error)
}

// Reporter takes the steps that come after the restore itself.
type Reporter interface {
	Step(step, level, message string, p *session.Progress)
}

// Personalizer makes the restored system this machine's own, and says what it did.
type Personalizer func(ctx context.Context, d *session.Descriptor, r *imaging.Result) (string, error)

// Shell lets somebody in on the machine before it starts what was restored.
type Shell interface {
	// Reach says why nobody could come in.
	Reach(spec *rescue.Spec) error
	// Open has a shell until it is left or its time is over, and reports both.
	Open(ctx context.Context, spec *rescue.Spec) error
}

// Options of the action.
type Options struct {
	Shell    Shell
	Personal Personalizer
	Restore  Restorer
	Entry    Entry
	// Once has the firmware start the disk at the next restart, for which Entry has made an entry, and says so; empty
	// for nothing to be done. It is asked before a restart alone.
	Once   func() string
	Boot   Booter
	Report Reporter
}

// Action returns the action.
func Action(o Options) node.Action {
	return func(d *session.Descriptor) node.Job {
		j := &job{o: o, d: d, latest: d}
		for range d.Disks() {
			j.casts = append(j.casts, make(chan *session.Cast, 1))
		}
		return j
	}
}

// job is a restore under way.
type job struct {
	o      Options
	d      *session.Descriptor
	latest *session.Descriptor  // of Takes alone
	casts  []chan *session.Cast // by disk
	result *imaging.Result      // once Run had success
	whole  bool                 // what was asked for is on the disk, and the machine has its boot entry
}

// Run writes the disk, and into it what is the machine's own. A shell that is asked for belongs to the work: it ends
// when the session does. That nobody could come in is known before anything is written.
func (j *job) Run(ctx context.Context) error {
	shell, err := j.shell()
	if err != nil {
		return err
	}
	if err := j.write(ctx); err != nil || shell == nil {
		return err
	}
	j.enter(ctx)
	j.whole = true
	if err := j.o.Shell.Open(ctx, shell); err != nil {
		return fmt.Errorf("the shell before the machine's start, which did not follow: %w", err)
	}
	return nil
}

// shell is what the shell is asked to be, nil for none.
func (j *job) shell() (*rescue.Spec, error) {
	if j.d.Boot == nil || j.d.Boot.Method != session.BootShell {
		return nil, nil
	}
	spec, err := rescue.ParseSpec(j.d.Boot.Shell)
	if err != nil {
		return nil, err
	}
	return &spec, j.o.Shell.Reach(&spec)
}

// write writes the disk, and what is the machine's own.
func (j *job) write(ctx context.Context) (err error) {
	casts := make([]<-chan *session.Cast, len(j.casts))
	for i, c := range j.casts {
		casts[i] = c
	}
	if j.result, err = j.o.Restore(ctx, j.d, casts); err != nil || !j.d.Personalize {
		return err
	}
	words, err := j.o.Personal(ctx, j.d, j.result)
	if err != nil {
		return fmt.Errorf("personalization: %w", err)
	}
	j.o.Report.Step(session.StepPersonalized, session.Info, words, nil)
	return nil
}

// Takes hands another cast of the same work to the restore. A disk that is done takes nothing more.
func (j *job) Takes(nd *session.Descriptor, done bool) bool {
	if done || !sameWork(j.latest, nd) {
		return false
	}
	for i, casts := range j.casts {
		c := nd.OfDisk(i).Cast
		if sameCast(j.latest.OfDisk(i).Cast, c) {
			continue
		}
		// The newest one counts; one that the restore has not come to yet is out of date.
		select {
		case <-casts:
		default:
		}
		casts <- c
	}
	j.latest = nd
	return true
}

// Unfinished is said when the job was replaced.
func (j *job) Unfinished() string {
	if j.whole {
		return "the shell is closed, and nothing was started: what was restored is whole, and what was done to it in " +
			"the shell stays"
	}
	if j.d.OfPartition() {
		return "stopped before the partition was complete: if writing had begun (step table), it holds a " +
			"half-written image; restore it again. The rest of the disk is as it was"
	}
	if n := j.d.Disks(); n > 1 {
		return fmt.Sprintf("stopped before all %d disks were complete: one of which writing had begun (step table) "+
			"may hold "+
			"a half-written image; restore them again", n)
	}
	return "stopped before the disk was complete: if writing had begun (step table), it holds a half-written image " +
		"and does not start; restore it again. If not, the disk is as it was"
}

// sameWork tells whether nd is d with at most another cast, so that what is on the disk already stays of use.
func sameWork(d, nd *session.Descriptor) bool {
	if nd.Action != d.Action || string(nd.Job) != string(d.Job) || nd.Session != d.Session ||
		nd.Disks() != d.Disks() {
		return false
	}
	for i := range d.Disks() {
		a, b := d.OfDisk(i), nd.OfDisk(i)
		if a.Image.Manifest != b.Image.Manifest || *a.Target != *b.Target {
			return false
		}
	}
	return true
}

func sameCast(a, b *session.Cast) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.ID == b.ID && a.Group == b.Group && a.Feedback == b.Feedback && string(a.Key) == string(b.Key) &&
		a.Payload == b.Payload && a.K == b.K
}
