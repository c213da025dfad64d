package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/diskcast/diskcast/internal/diskrule"
	"github.com/diskcast/diskcast/internal/personal"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// plan is one that is being made.
type plan struct {
	*doc.Plan
	s   *sess              // as Create would make it; it is in no store
	own *personal.Settings // nil where nothing is personalized
	// taken is what the machines would get that each has alone; nil where the spec names them, and it was looked at.
	taken *owners
	job   *session.PartitionJob
	// table is the id of the image's partition table; empty if it has none.
	table string
	// lacks is what a disk with another image lacks, by that one's manifest; nil where that is not known.
	lacks map[string]*int64
	// more are the same for the further disks: as if there were no others.
	more []*plan
}

// ofDisk is the plan for one of the disks of a spec, as if there were no others, with its image where that is there.
func (e *Engine) ofDisk(p *plan, disk int, imgs []session.Image) *plan {
	one := &plan{Plan: &doc.Plan{Action: p.Action}, s: &sess{Kind: p.s.Kind, Parts: p.s.Parts}, job: p.job,
		lacks: map[string]*int64{}}
	one.s.Spec, one.s.State = p.s.Spec, p.s.State
	one.s.Spec.Target = p.s.Spec.Targets()[disk]
	if disk < len(imgs) {
		one.Image = &imgs[disk]
		one.table = e.cfg.Images.TableID(one.Image.Manifest)
	}
	return one
}

// Plan says what a session of the spec would do to each machine, as far as is known now. It makes and moves nothing. It
// refuses what cannot be a spec; what else keeps Create from making the session is in the plan.
func (e *Engine) Plan(ctx context.Context, spec doc.Spec) (*doc.Plan, error) {
	said, err := e.nameMachines(&spec)
	if err != nil {
		return nil, err
	}
	kind, err := e.kinds.Check(&spec)
	if err != nil {
		return nil, refuse("%w", err)
	}
	p := &plan{s: &sess{Kind: kind, Parts: map[string]*doc.Part{}}, lacks: map[string]*int64{}}
	p.Plan = &doc.Plan{Action: kind.Traits().Action, Rule: diskrule.Rule(spec.Target), On: spec.On,
		Profile: spec.Profile, ProfileRevision: spec.ProfileRevision, Machines: []doc.PlanMachine{}}
	if spec.Boot != nil {
		p.Then = spec.Boot.Method
	}
	if len(spec.Personalize) > 0 {
		p.own, err = personal.Parse(spec.Personalize)
		p.refuse(err)
	}
	if p.Action == session.RestorePartition || p.Action == session.CapturePartition {
		p.job, err = session.ParsePartitionJob(spec.Job)
		p.refuse(err)
	}
	_, others, err := e.sealable(&spec)
	p.refuse(err)
	p.refuse(e.maySwitch(ctx, &spec))
	p.refuse(e.mayHook(&spec))
	imgs, err := e.describeImages(kind, &spec)
	p.refuse(err)
	p.s.Spec, p.s.State = spec, doc.Waiting
	bring(p.s, imgs)
	if !kind.Traits().Cast || err != nil {
		imgs = nil
	} else {
		img := imgs[0]
		p.Image, p.Notes, p.s.Starts = &img, e.cfg.Images.StartNotes(img.Manifest), e.starts(img.Manifest)
		p.table = e.cfg.Images.TableID(img.Manifest)
	}
	for i := range spec.MoreDisks {
		one := e.ofDisk(p, i+1, imgs)
		p.more = append(p.more, one)
		shown := doc.PlanImage{Rule: diskrule.Rule(one.s.Spec.Target)}
		if shown.Image.Name = spec.MoreDisks[i].Image; one.Image != nil {
			shown.Image = *one.Image
		}
		p.MoreDisks = append(p.MoreDisks, shown)
	}
	e.planMachines(p)
	taken := e.nameTaken(kind, &spec)
	p.refuse(mayTake(&spec, taken))
	p.Warnings = slices.Concat(said, others, taken, p.Warnings)
	e.fits(p)
	for i := range p.Machines {
		m := &p.Machines[i]
		switch {
		case m.Verdict != "":
		case len(m.Refused) > 0 || len(p.Refused) > 0:
			m.Verdict = doc.PlanRefused
		case m.Waits != "":
			m.Verdict = doc.PlanWaits
		default:
			m.Verdict = doc.PlanGoes
		}
	}
	return p.Plan, nil
}

// refuse puts into the plan why no session is made; nil is no reason.
func (p *plan) refuse(err error) {
	if err != nil && !slices.Contains(p.Refused, err.Error()) {
		p.Refused = append(p.Refused, err.Error())
	}
}

// planMachines looks at each machine that the session would begin with.
func (e *Engine) planMachines(p *plan) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p.Made = e.now()
	e.tell()
	p.refuse(e.mayWork(p.s))
	e.nameParts(p.s)
	p.Warnings = append(p.s.Spec.Advice(), e.twins(p.s)...)
	ids := slices.Clone(p.s.Order)
	if p.s.Spec.All || p.s.Spec.Count > 0 {
		ids = e.present()
		p.taken = e.owners()
	}
	places := len(ids)
	if p.s.Spec.Count > 0 {
		places = p.s.Spec.Count
	}
	more := 0
	for _, id := range ids {
		n := e.nodes[id]
		taken := n == nil || e.current(n) == nil && e.waitWords(n) == ""
		if taken && places <= 0 {
			more++
			continue
		} else if taken {
			places--
		}
		p.Machines = append(p.Machines, e.planMachine(p, id))
	}
	if p.taken != nil {
		p.Warnings = slices.Concat(p.Warnings, e.elsewhere(p.taken), e.promisedElsewhere(p.taken))
	}
	switch {
	case more > 0:
		p.Warnings = append(p.Warnings, fmt.Sprintf("%d more machines are here, and it takes the first %d.", more,
			p.s.Spec.Count))
	case p.s.Spec.All || places > 0 && p.s.Spec.Count > 0:
		p.Warnings = append(p.Warnings, "It takes machines that come later, too; of these nothing can be said yet.")
	}
}

// present are the nodes whose agents are there, in the order in which a new session takes them.
func (e *Engine) present() []string {
	var out []string
	for _, id := range slices.Sorted(maps.Keys(e.nodes)) {
		if e.whereabouts(e.nodes[id]) == doc.Ready {
			out = append(out, id)
		}
	}
	return out
}

// fits judges, as nodes will, whether the image can go where it is to go. It may take a moment, and is done without the
// lock; machines with equal disks are judged once, and so are those with equal images.
func (e *Engine) fits(p *plan) {
	disks := append([]*plan{p}, p.more...)
	judged := make([]map[Room]error, len(disks))
	for i := range p.Machines {
		m := &p.Machines[i]
		for n, one := range disks {
			d := &m.PlanDisk
			if n > 0 && n <= len(m.MoreDisks) {
				d = &m.MoreDisks[n-1]
			}
			if n > len(m.MoreDisks) || one.Image == nil {
				continue
			}
			if judged[n] == nil {
				judged[n] = map[Room]error{}
			}
			if words := e.fitsDisk(one, d, judged[n]); words != "" {
				m.Refused = append(m.Refused, words)
			}
		}
	}
}

// fitsDisk says why the image cannot go to the disk, empty when it can, and how much of it would.
func (e *Engine) fitsDisk(p *plan, d *doc.PlanDisk, judged map[Room]error) string {
	e.differs(p, d)
	if d.Disk == nil || p.job != nil && d.Target == nil {
		return ""
	}
	r := Room{Size: d.Disk.Size, Sector: d.Disk.SectorSize, Grow: !p.s.Spec.NoGrow}
	if t := d.Target; p.job != nil {
		r.Size, r.Number, r.Start = t.Size, t.Number, t.Start
	}
	err, known := judged[r]
	if !known {
		err = e.cfg.Images.Fits(p.Image.Manifest, r)
		judged[r] = err
	}
	if err == nil {
		return ""
	}
	return fmt.Sprintf("image %s cannot go to %s: %v", p.Image.Name, diskrule.Describe(*d.Disk), err)
}

// differs says how much the machine lacks if its disk is as the last session left it, and the node would look.
func (e *Engine) differs(p *plan, m *doc.PlanDisk) {
	if m.Last == nil || p.job != nil || p.s.Spec.Mode == session.Full {
		return
	}
	other := m.Last.Manifest
	if _, known := p.lacks[other]; !known {
		p.lacks[other] = e.lacks(p, other)
	}
	m.Differs = p.lacks[other]
}

// lacks is how many bytes a disk with another image lacks; nil where the node would not look.
func (e *Engine) lacks(p *plan, other string) *int64 {
	if p.s.Spec.Mode != session.Delta && (p.table == "" || p.table != e.cfg.Images.TableID(other)) {
		return nil
	}
	n, err := e.cfg.Images.Differs(p.Image.Manifest, other)
	if err != nil { // one is not there any more
		return nil
	}
	return &n
}
