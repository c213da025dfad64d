package page

import (
	"crypto/rand"
	"net/http"
)

// maxDeeds bounds the forms of one login that are remembered.
const maxDeeds = 64

// done is what came of a form: a second press of its button leads where the first did, and does nothing.
type done struct {
	over chan struct{} // closed when to is known
	to   string        // empty: nothing was done
}

// deed returns what came of a form, or is being made of it; first says that this is its first press.
func (vs *visits) deed(e *entered, word string) (d *done, first bool) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if d = e.deeds[word]; d != nil {
		return d, false
	}
	d = &done{over: make(chan struct{})}
	if e.deeds == nil {
		e.deeds = map[string]*done{}
	}
	if e.words = append(e.words, word); len(e.words) > maxDeeds {
		delete(e.deeds, e.words[0])
		e.words = e.words[1:]
	}
	e.deeds[word] = d
	return d, true
}

// did says where a form led; to nowhere, it may be sent again.
func (vs *visits) did(e *entered, word string, d *done, to string) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if d.to = to; to == "" && e.deeds[word] == d {
		delete(e.deeds, word)
	}
	close(d.over)
}

// onceWord is a word for one form, by which a second press of its button is known.
func onceWord() string { return rand.Text() }

// once does what a form asks for one time, however often its button is pressed, and leads where that leads, with words
// that are said there. A form that was refused may be sent again; one without a word is done each time.
func (v *visit) once(do func() (to, words string, err error)) error {
	word := v.r.PostForm.Get("once")
	if len(word) > 64 {
		return &refused{http.StatusBadRequest, "this form is not one of this page"}
	}
	for word != "" {
		d, first := v.page.visits.deed(v.known, word)
		if first {
			to, words, err := "", "", error(nil)
			defer func() { v.page.visits.did(v.known, word, d, to) }() // also when it panics: nobody waits for ever
			if to, words, err = do(); err != nil || to == "" {
				return err
			}
			return v.back(to, words)
		}
		select {
		case <-d.over:
		case <-v.ctx.Done():
			return v.ctx.Err()
		}
		if d.to != "" {
			http.Redirect(v.w, v.r, d.to, http.StatusSeeOther)
			return nil
		}
	}
	to, words, err := do()
	if err != nil || to == "" {
		return err
	}
	return v.back(to, words)
}
