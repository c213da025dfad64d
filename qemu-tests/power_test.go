package qemutests

import (
	"slices"
	"testing"
	"time"

	"github.com/diskcast/diskcast/qemu-tests/lab"
	"github.com/diskcast/diskcast/qemu-tests/site"
	"github.com/diskcast/diskcast/server/doc"
)

// TestPlugPulled cuts the power of one of three nodes in the middle of writing. The other two finish; the third,
// switched on again, ends up correct. The disks are never booted, so every file must equal the source's.
func TestPlugPulled(t *testing.T) {
	b := setup(t, 8*time.Minute, lab.Options{})
	debian := debianImage(b.ctx, t)
	image := b.add("debian", debian)
	nodes := []*site.Node{b.node("a", site.Hardware{}), b.node("b", site.Hardware{}),
		b.node("c", site.Hardware{Junk: true})}
	victim := nodes[2]
	se := b.create(image, nodes, "--min-nodes", "3", "--then", "poweroff", "--rate", "40M")
	b.on(nodes...)
	b.until(se, "the third node to have written a third", func(v site.View) bool { return written(v, victim) > 0.33 })
	victim.Unplug()
	v := b.until(se, "the other two to finish", func(v site.View) bool {
		return v.Parts[nodes[0].ID].State == doc.Done && v.Parts[nodes[1].ID].State == doc.Done
	})
	if p := v.Parts[victim.ID]; p.Over() {
		t.Fatalf("the node without power is %s (%s)", p.State, p.Reason)
	}
	b.on(victim)
	v = b.done(se)
	b.off(nodes...)
	if boots := v.Parts[victim.ID].Boots; boots != 2 {
		t.Errorf("the third node took part in %d boots, want 2", boots)
	}
	for _, n := range nodes {
		b.same(n, debian)
	}
}

// TestServerKilled kills the server in the middle of a cast and starts it again: the nodes go on.
func TestServerKilled(t *testing.T) {
	b := setup(t, 5*time.Minute, lab.Options{})
	image, im := b.small(1)
	nodes := []*site.Node{b.node("a", site.Hardware{}), b.node("b", site.Hardware{})}
	se := b.create(image, nodes, "--min-nodes", "2", "--then", "poweroff", "--rate", "40M")
	b.on(nodes...)
	b.until(se, "a third of the object", func(v site.View) bool { return received(v, nodes[0]) > 0.33 })
	b.KillServer()
	if err := b.Serve(b.ctx); err != nil {
		t.Fatal(err)
	}
	v := b.done(se)
	b.off(nodes...)
	for _, n := range nodes {
		if boots := v.Parts[n.ID].Boots; boots != 1 {
			t.Errorf("%s was given its part %d times, want once: it should have gone on", n.Name(), boots)
		}
		b.same(n, im)
	}
}

// TestLateNode starts one node when the other has half of the object. Both end up correct, and the sender's byte count
// shows that the late one cost no more than what it had missed, and 5 % of that.
func TestLateNode(t *testing.T) {
	b := setup(t, 5*time.Minute, lab.Options{})
	image, im := b.small(1)
	early, late := b.node("early", site.Hardware{}), b.node("late", site.Hardware{})
	b.on(early, late)
	// The late machine boots beforehand and is stopped just before its agent speaks: how long firmware takes is not
	// what is measured here.
	if _, err := late.Expect(b.ctx, agentStarts); err != nil {
		t.Fatal(err)
	}
	if err := late.Pause(b.ctx); err != nil {
		t.Fatal(err)
	}
	// Slow enough that even an emulated node loses nothing: what is sent twice is then only what the late one missed.
	se := b.create(image, []*site.Node{early, late}, "--then", "poweroff", "--rate", "12M")
	b.until(se, "the early node to have half", func(v site.View) bool { return received(v, early) > 0.5 })
	if err := late.Resume(b.ctx); err != nil {
		t.Fatal(err)
	}
	joined := b.until(se, "the late node to join the cast", func(v site.View) bool {
		return slices.ContainsFunc(v.Session.Cast.Stats.Receivers,
			func(r doc.Receiver) bool { return r.Node == late.ID })
	})
	v := b.done(se)
	b.off(early, late)
	b.same(early, im)
	b.same(late, im)

	size := v.Session.Image.ObjectSize
	sent := v.Session.Cast.Stats.Sent
	missed := joined.Session.Cast.Stats.Sent
	t.Logf("object %d bytes, the late node missed %d (%.0f %%), sent in all %d: %.1f %% over object and missed",
		size, missed, 100*float64(missed)/float64(size), sent, 100*(float64(sent)/float64(size+missed)-1))
	if missed < size/4 || missed > size*95/100 {
		t.Fatalf("the late node missed %d of %d bytes: the test did not make it late", missed, size)
	}
	if limit := size + missed + missed/20; sent > limit {
		t.Errorf("sent %d bytes, want at most %d: the object once, what the late node missed, and 5 %% of that", sent,
			limit)
	}
}

// agentStarts is what a node's console says when its agent is about to run.
const agentStarts = `msg="drivers are loaded"`
