package page

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"sync"
	"time"

	"github.com/diskcast/diskcast/server/access"
)

// Bounds of logins.
const (
	loginLasts  = 12 * time.Hour
	maxLogins   = 10000                   // at once
	maxOfToken  = 32                      // of one token at once
	maxToken    = 512                     // bytes that are typed
	cookieName  = "__Host-diskcast"       // of who is logged in; the prefix has browsers keep it to this server
	visitCookie = "__Host-diskcast-visit" // of who sees the login form
)

// entered is who is logged in. The browser has a random word, and the server the sum of it.
type entered struct {
	token access.Sum // that was typed
	csrf  string     // that forms have
	until time.Time
	flash string // said once, on the next page
	// deeds are forms that were sent, by their words; words are those, the oldest first.
	deeds map[string]*done
	words []string
}

type key [sha256.Size]byte

// visits knows who is logged in. A login does not outlive the server, nor the token that it was made with.
type visits struct {
	tokens Tokens
	began  time.Time
	secret [32]byte // of the login form's own tokens
	now    func() time.Time

	mu   sync.Mutex
	byID map[key]*entered
}

func newVisits(t Tokens) *visits {
	vs := &visits{tokens: t, began: time.Now(), now: time.Now, byID: map[key]*entered{}}
	_, _ = rand.Read(vs.secret[:]) // it never fails
	return vs
}

// of returns who the request's cookie is of, as the token that it was typed with is now.
func (vs *visits) of(r *http.Request) (*entered, access.Holder) {
	c, err := r.Cookie(cookieName)
	if err != nil || c.Value == "" {
		return nil, access.Holder{}
	}
	id := key(sha256.Sum256([]byte(c.Value)))
	vs.mu.Lock()
	e := vs.byID[id]
	vs.mu.Unlock()
	if e == nil {
		return nil, access.Holder{}
	}
	h, good := vs.tokens.Of(e.token)
	if !good || !vs.now().Before(e.until) {
		vs.end(r)
		return nil, access.Holder{}
	}
	return e, h
}

// begin logs the holder of a token in for a time, and returns what the browser is to keep.
func (vs *visits) begin(token access.Sum, lasts time.Duration) string {
	word := rand.Text() + rand.Text()
	vs.mu.Lock()
	defer vs.mu.Unlock()
	e := &entered{token: token, csrf: rand.Text(), until: vs.now().Add(lasts)}
	vs.makeRoom(e.token)
	vs.byID[sha256.Sum256([]byte(word))] = e
	return word
}

// makeRoom ends the logins that are over, and the oldest ones where there are too many.
func (vs *visits) makeRoom(token access.Sum) {
	var oldest, oldestOf key
	all, of := 0, 0
	for id, e := range vs.byID {
		if !vs.now().Before(e.until) {
			delete(vs.byID, id)
			continue
		}
		if all++; all == 1 || e.until.Before(vs.byID[oldest].until) {
			oldest = id
		}
		if e.token != token {
			continue
		}
		if of++; of == 1 || e.until.Before(vs.byID[oldestOf].until) {
			oldestOf = id
		}
	}
	switch {
	case of >= maxOfToken:
		delete(vs.byID, oldestOf)
	case all >= maxLogins:
		delete(vs.byID, oldest)
	}
}

// end logs out who the request's cookie is of.
func (vs *visits) end(r *http.Request) {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return
	}
	id := key(sha256.Sum256([]byte(c.Value)))
	vs.mu.Lock()
	e := vs.byID[id]
	delete(vs.byID, id)
	vs.mu.Unlock()
	if e != nil {
		vs.tokens.Dismiss(e.token) // of a person: who logs in again proves it anew
	}
}

// say keeps words for the next page of who is logged in.
func (vs *visits) say(e *entered, words string) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	e.flash = words
}

// said takes them.
func (vs *visits) said(e *entered) string {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	words := e.flash
	e.flash = ""
	return words
}

func cookie(name, value string, age int) *http.Cookie {
	return &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: age, Secure: true, HttpOnly: true,
		SameSite: http.SameSiteStrictMode}
}

// stranger is the token of the login form for who has a cookie of it.
func (vs *visits) stranger(word string) string {
	m := hmac.New(sha256.New, vs.secret[:])
	m.Write([]byte(word))
	return hex.EncodeToString(m.Sum(nil))
}

// csrf is what the forms of a page have that is shown now.
func (v *visit) csrf() string {
	if v.known != nil {
		return v.known.csrf
	}
	if c, err := v.r.Cookie(visitCookie); err == nil && c.Value != "" {
		return v.page.visits.stranger(c.Value)
	}
	return ""
}

// ownForm reports whether a form's token is of a page that was shown to who sends it.
func (v *visit) ownForm(token string) bool {
	want := v.csrf()
	if v.r.URL.Path == "/login" { // also of who is logged in already
		c, err := v.r.Cookie(visitCookie)
		if err != nil || c.Value == "" {
			return false
		}
		want = v.page.visits.stranger(c.Value)
	}
	return want != "" && subtle.ConstantTimeCompare([]byte(token), []byte(want)) == 1
}

// loginView is the login form.
type loginView struct {
	CSRF, Next, Why string
	Link            string // word of a link that logs in once; empty: a token is asked for
	Provider        string // by which people log in; empty: none
	Trouble         string // that it had when it was asked last
}

// loginForm says why who was logged in is not any more: a browser keeps its cookie as long as a login may last.
func (v *visit) loginForm() error {
	why := ""
	if c, err := v.r.Cookie(cookieName); err == nil && c.Value != "" && v.known == nil {
		why = "This login is over: logins end with their token, after " + took(loginLasts.Seconds()) +
			", and when the server is started again, which was at " + clock(v.page.visits.began)
	}
	return v.showLogin(http.StatusOK, why)
}

func (v *visit) showLogin(code int, why string) error {
	c, err := v.r.Cookie(visitCookie)
	if err != nil || len(c.Value) < 26 || len(c.Value) > 64 {
		c = cookie(visitCookie, rand.Text(), 0)
		http.SetCookie(v.w, c)
	}
	v.known = nil // the form is of nobody yet
	form := loginView{CSRF: v.page.visits.stranger(c.Value), Next: local(v.r.FormValue("next")), Why: why,
		Link: v.link()}
	if p := v.page.People; p != nil {
		if form.Provider = p.Host(); why == "" {
			form.Trouble = p.Trouble()
		}
	}
	return v.show(code, "login", "Log in", form)
}

func (v *visit) login() error {
	token := v.r.PostForm.Get("token")
	if len(token) > maxToken {
		return v.showLogin(http.StatusUnauthorized, "that is no token: it is too long")
	}
	h, code, err := v.page.API.Enter(v.r, token)
	if err != nil {
		v.page.Log.Info("login refused", "peer", v.r.RemoteAddr, "code", code)
		return v.showLogin(code, err.Error())
	}
	return v.enter(access.SumOf(token), h)
}

// link is the word of a link to the login, which its form has.
func (v *visit) link() string {
	if word := v.r.URL.Query().Get("link"); len(word) <= maxToken {
		return word
	}
	return ""
}

// loginByLink logs in who has a link that nobody has used. To look at it does not use it: programs that carry mail do.
func (v *visit) loginByLink() error {
	word := v.r.PostForm.Get("link")
	sum, ok := v.page.Tokens.Use(word)
	h, good := v.page.Tokens.Of(sum)
	if !ok || !good {
		_, code, _ := v.page.API.Enter(v.r, "") // counts it with wrong tokens
		v.page.Log.Info("login refused", "peer", v.r.RemoteAddr, "code", code, "by", "link")
		return v.showLogin(code, "this link is used up, or its time is over: if you have not used it yourself, "+
			"somebody else did, and who made it for you wants to know")
	}
	return v.enter(sum, h)
}

// enter logs in who proved to be the holder of a token.
func (v *visit) enter(token access.Sum, h access.Holder) error {
	v.page.visits.end(v.r) // a login that was there before does not become this one
	http.SetCookie(v.w, cookie(cookieName, v.page.visits.begin(token, loginLasts), int(loginLasts/time.Second)))
	http.SetCookie(v.w, cookie(visitCookie, "", -1))
	v.page.Log.Info("logged in", "token", h.Name, "role", h.Role, "peer", v.r.RemoteAddr)
	http.Redirect(v.w, v.r, local(v.r.PostForm.Get("next")), http.StatusSeeOther)
	return nil
}

func (v *visit) logout() error {
	v.page.visits.end(v.r)
	http.SetCookie(v.w, cookie(cookieName, "", -1))
	v.page.Log.Info("logged out", "token", v.holder.Name, "peer", v.r.RemoteAddr)
	http.Redirect(v.w, v.r, "/login", http.StatusSeeOther)
	return nil
}
