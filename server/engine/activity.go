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
	for _, s := range e.sessions {
		a.Going = a.Going || s.Going()
		if !s.Over() {
			a.Images[s.Image.Manifest] = true
		}
	}
	return a, e.activity
}

// hold keeps the image of a session open. An image may lose its name to another one, or be removed, while its session
// waits for nodes: garbage collection must not take it then.
func (e *Engine) hold(s *sess) error {
	if s.Upload != nil || s.held != nil {
		return nil
	}
	var err error
	s.held, err = e.cfg.Images.Object(s.Image.Manifest)
	return err
}

func (e *Engine) letGo(s *sess) {
	if s.held == nil {
		return
	}
	if err := s.held.Close(); err != nil {
		e.log.Warn("closing an image", "image", s.Image.Name, "err", err)
	}
	s.held = nil
}
