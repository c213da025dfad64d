// Package erase is the node's action "erase": it makes what is on a disk unreadable by one of the methods that the disk
// offers, looks afterwards whether that is so, and says what it did and what it could not get at.
//
// A method is offered only where the disk says that it can. The disk is the one that the session's rule names, alone: a
// method that would also erase other namespaces of an NVMe controller is refused while there are any, and ATA or NVMe
// commands that may reach another disk than reads and writes do are not used. What a disk says of its own success is
// not believed: before it erases itself it is given blocks of random bytes, and afterwards it must not have them any
// more. Even so, that what cannot be addressed was erased is the disk's word, and the result says so.
package erase

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/diskcast/diskcast/agent/disk"
	"github.com/diskcast/diskcast/agent/erase/nvme"
	"github.com/diskcast/diskcast/internal/diskrule"
	"github.com/diskcast/diskcast/internal/erasure"
	"github.com/diskcast/diskcast/internal/session"
)

// Reporter takes the steps of the erase.
type Reporter interface {
	Step(step, level, message string, p *session.Progress)
	Progress(message string, p session.Progress)
}

// Options of Erase.
type Options struct {
	Server disk.Server
	Report Reporter
	Disks  Disks
	// Open opens the disk that was chosen, for nobody else to use meanwhile.
	Open func(d session.Disk) (Device, error)
	// DiskWait is how long a disk that is not there may take to come.
	DiskWait disk.Wait
	// Done takes the last event, StepErased, with the result; nil: Report gets the event without it.
	Done func(level, message string, r *erasure.Result)
	Log  *slog.Logger // nil discards
}

// run is one erase under way.
type run struct {
	o      Options
	spec   erasure.Spec
	method *method
	dev    Device
	facts  *facts
	seed   []byte
	sample []place
	memory *memory // nil: nothing could be noted, or the method needs none
	bad    []bad
	notes  []string
	busy   chan struct{} // nil, or closed when a command that could not be called back has come back
}

func (r *run) blockSize() int64 { return int64(max(block, r.dev.SectorSize())) }

func (r *run) say(i, n int, words string) {
	r.o.Report.Progress(fmt.Sprintf("%s: place %d of %d", words, i+1, n), session.Progress{})
}

// Erase erases the descriptor's disk as spec says. There is a result whenever something was written, also beside an
// error.
func Erase(ctx context.Context, d *session.Descriptor, spec erasure.Spec, o Options) (*erasure.Result, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := spec.Check(); err != nil {
		return nil, err
	}
	m := lookUp(spec.Method)
	chosen, err := disk.Await(ctx, o.Disks.List, d, o.DiskWait)
	if err != nil {
		return nil, err
	}
	if use, err := o.Disks.InUse(chosen.Path); err != nil {
		return nil, fmt.Errorf("%s: cannot tell whether it is in use, so nothing was erased: %w", chosen.Path, err)
	} else if use != "" {
		return nil, fmt.Errorf("%s is in use (%s); nothing was erased. Unmount it on the node, or choose another disk",
			chosen.Path, use)
	}
	dev, err := o.Open(chosen)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; nothing was erased", chosen.Path, err)
	}
	r := &run{o: o, spec: spec, method: m, dev: dev, seed: make([]byte, 32)}
	rand.Read(r.seed) // never fails: crypto/rand
	res, err := r.open(ctx, d, chosen)
	r.close()
	if res == nil || r.busy != nil || ctx.Err() != nil {
		return res, err
	}
	if rerr := o.Disks.Reread(ctx, chosen.Path, nil); rerr != nil {
		o.Log.Warn("the kernel did not see that the disk has no partitions any more", "disk", chosen.Path, "error",
			rerr)
	}
	return res, err
}

// open examines the disk that was opened, makes it the session's, and erases it.
func (r *run) open(ctx context.Context, d *session.Descriptor, chosen session.Disk) (*erasure.Result, error) {
	r.facts = examine(r.dev, chosen)
	if err := r.facts.check(r.method); err != nil {
		return nil, err
	}
	if chosen.Size != r.dev.Size() {
		return nil, fmt.Errorf("%s has %d bytes and had %d a moment ago; nothing was erased", chosen.Path, r.dev.Size(),
			chosen.Size)
	}
	if err := disk.Settle(ctx, r.o.Server, d, 0, chosen, r.o.Disks.List); err != nil {
		return nil, err
	}
	r.o.Report.Step(session.StepPlan, session.Info, r.planWords(chosen), nil)
	return r.do(ctx)
}

// close lets go of the disk. A command that could not be called
// back keeps the disk open, so that nobody else takes it.
func (r *run) close() {
	done := func() {
		if err := r.dev.Close(); err != nil {
			r.o.Log.Warn("closing the disk", "disk", r.facts.disk.Path, "error", err)
		}
	}
	if r.busy == nil {
		done()
		return
	}
	go func() { // ends with the command
		<-r.busy
		done()
	}()
}

func (r *run) planWords(chosen session.Disk) string {
	w := append([]string{fmt.Sprintf("%s is erased by %s", diskrule.Describe(chosen), r.method.name)},
		r.facts.words()...)
	can, _ := r.facts.offered()
	return strings.Join(append(w, "it offers "+strings.Join(can, ", ")), "; ")
}

// do erases, reads back and judges.
func (r *run) do(ctx context.Context) (*erasure.Result, error) {
	began := time.Now()
	res := &erasure.Result{V: erasure.Version, Disk: r.facts.describe(), Method: r.method.name,
		Seed:  hex.EncodeToString(r.seed),
		Began: began, ReadBack: erasure.ReadBack{Scope: erasure.ReadNone, FirstBad: -1}}
	if erasure.Passes(r.method.name) {
		res.Passes = r.spec.Passes
	}
	err := r.work(ctx, res)
	res.Ended, res.Seconds = time.Now(), time.Since(began).Seconds()
	res.Unreached, res.Unseen = r.facts.areas(r.method)
	if len(r.bad) > 0 {
		a := erasure.Area{Kind: erasure.AreaRefused}
		for _, b := range r.bad {
			a.Bytes += b.n
		}
		a.Words = fmt.Sprintf("%s in %d places where the disk took nothing, the first at offset %d: %v",
			diskrule.Bytes(a.Bytes), len(r.bad), r.bad[0].off, r.bad[0].err)
		res.Unreached = append([]erasure.Area{a}, res.Unreached...)
		if err == nil {
			err = errors.New(a.Words + "; destroy the disk, or use a method of its own firmware")
		}
	}
	res.Notes = r.notes
	if err == nil && !res.ReadBack.OK() {
		err = errors.New(r.blame(&res.ReadBack))
	}
	res.OK = err == nil
	level := session.Info
	if err != nil {
		err = fmt.Errorf("%s: erasing it by %s: %w", r.facts.disk.Path, r.method.name, err)
		res.Failure, level = err.Error(), session.Error
	}
	res.Term, res.Reason = judge(r.method, r.facts, res)
	if r.o.Done != nil {
		r.o.Done(level, res.Words(), res)
	} else {
		r.o.Report.Step(erasure.StepErased, level, res.Words(), nil)
	}
	return res, err
}

// blame says what a bad reading back means.
func (r *run) blame(b *erasure.ReadBack) string {
	switch {
	case b.Kept > 0 && r.method.reach == reachUser && r.method.content == nil:
		return b.Words() + ". The disk need not forget what is discarded, and it has not: use another method"
	case b.Kept > 0:
		return b.Words() + ". The disk says that it is erased, and it is not: use another method, or destroy it"
	}
	return b.Words() + ". The disk does not hold what it is given: destroy it"
}

// work is the part that can fail.
func (r *run) work(ctx context.Context, res *erasure.Result) error {
	if err := r.finishOld(ctx); err != nil {
		return err
	}
	seed := [32]byte(r.seed)
	r.sample = places(r.dev.Size(), seed)
	if r.method.content == nil || r.method.reach > reachUser {
		m, err := r.remember(ctx)
		switch {
		case err == nil:
			r.memory = m
		case ctx.Err() != nil:
			return err
		case r.method.reach == reachUser:
			return err // it must take writes
		default: // a disk that is locked, or whose last sanitize failed, takes nothing before it is erased
			r.notes = append(r.notes,
				fmt.Sprintf("nothing could be noted of what was on the disk before, so reading back "+
					"shows only what is there now: %v", err))
		}
	}
	if err := r.method.run(ctx, r); err != nil {
		return err
	}
	if err := r.dev.Flush(); err != nil {
		return fmt.Errorf("flushing the disk's cache: %w", err)
	}
	b, err := r.readBack(ctx)
	if b != nil {
		res.ReadBack = *b
	}
	if err != nil {
		return err
	}
	level := session.Info
	if !b.OK() {
		level = session.Error
	}
	r.o.Report.Step(session.StepVerified, level, b.Words(), nil)
	return nil
}

// finishOld waits for a sanitize that the disk began before, with an erase that was interrupted: it takes nothing else
// until that is done. How that one ended does not matter, as another one follows.
func (r *run) finishOld(ctx context.Context) error {
	var err error
	switch {
	case r.facts.sanitize.Running:
		err = r.watchATA(ctx, r.dev.ATA())
	case r.facts.nvmeLast.State == nvme.Running:
		c, _ := r.dev.NVMe()
		err = r.watchNVMe(ctx, c)
	default:
		return nil
	}
	note := "the disk was sanitizing itself already; that was waited for"
	if err != nil {
		note += fmt.Sprintf(" (%v)", err)
	}
	r.notes = append(r.notes, note)
	if ctx.Err() != nil || errors.Is(err, errStalled) {
		return err
	}
	return nil
}
