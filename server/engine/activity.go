package engine

// Activity is what the sessions of the server keep busy.
type Activity struct {
	Going  bool            // nodes receive or send a disk
	Images map[string]bool // manifests of the images of sessions that are not over
}

// Activity returns what goes on now, and a channel that is closed when that may have changed.
func (e *Engine) Activity() (Activity, <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	a := Activity{Images: map[string]bool{}}
	for _, id := range e.jobs.Order() {
		s := e.jobs.Session(id)
		a.Going = a.Going || s.Going()
		for i := range s.Disks() {
			if !s.Over() {
				a.Images[s.ImageOf(i).Manifest] = true
			}
		}
	}
	return a, e.activity
}

// hold keeps the images of a session open. An image may lose its name to another one, or be removed, while its session
// waits for nodes: garbage collection must not take it then.
func (e *Engine) hold(s *sess) error {
	r := e.run(s.ID)
	if !s.Kind.Traits().Cast || len(r.held) > 0 {
		return nil
	}
	for i := range s.Disks() {
		held, err := e.cfg.Images.Object(s.ImageOf(i).Manifest)
		if err != nil {
			e.letGo(s.ID)
			return err
		}
		r.held = append(r.held, held)
	}
	return nil
}

func (e *Engine) letGo(id string) {
	r := e.runs[id]
	if r == nil {
		return
	}
	for _, held := range r.held {
		if err := held.Close(); err != nil {
			e.log.Warn("closing an image", "session", id, "err", err)
		}
	}
	r.held = nil
}
