package page

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/diskcast/diskcast/server/access"
	"github.com/diskcast/diskcast/server/access/provider"
)

// People is who has people log in by the site's OpenID provider.
type People interface {
	// Host is what people know the provider by, Public the URL of this page, Trouble why the provider did not answer
	// the last time.
	Host() string
	Public() string
	Trouble() string
	// Begin returns where the browser is to go, and what it is to keep meanwhile.
	Begin(ctx context.Context, next string) (to, keep string, err error)
	Finish(ctx context.Context, keep string, q url.Values) (*provider.Login, error)
}

var _ People = (*provider.Provider)(nil)

// keepCookie is what a browser keeps while it is at the provider. The provider sends it back from another site, so that
// this cookie, unlike the login's, comes with links of others: it is good for ending that one login alone.
const keepCookie = "__Host-diskcast-oidc"

func keep(value string, age int) *http.Cookie {
	c := cookie(keepCookie, value, age)
	c.SameSite = http.SameSiteLaxMode
	return c
}

var errNoProvider = &refused{http.StatusNotFound, "this server has no provider that people log in by: a token does it"}

// beginLogin sends the browser to the provider.
func (v *visit) beginLogin() error {
	p := v.page.People
	if p == nil {
		return errNoProvider
	}
	q := v.r.URL.Query()
	if v.r.Header.Get("Sec-Fetch-Site") == "cross-site" { // a page of somebody else's ends nobody's login
		return v.showLogin(http.StatusOK, "")
	}
	next := local(q.Get("next"))
	// The provider sends the browser back to the settings' name of this server: what it keeps must be of that name.
	if public, err := url.Parse(p.Public()); err == nil && public.Host != v.r.Host && !q.Has("moved") {
		to := url.Values{"next": {next}, "moved": {""}}
		http.Redirect(v.w, v.r, p.Public()+"/login/oidc?"+to.Encode(), http.StatusSeeOther)
		return nil
	}
	to, kept, err := p.Begin(v.ctx, next)
	if err != nil {
		v.page.Log.Error("nobody can log in by the provider", "provider", p.Host(), "err", err)
		return v.showLogin(http.StatusBadGateway, err.Error()+"; a token still logs you in")
	}
	http.SetCookie(v.w, keep(kept, int(provider.KeepTime/time.Second)))
	http.Redirect(v.w, v.r, to, http.StatusSeeOther)
	return nil
}

// endLogin logs in whom the provider sends back.
func (v *visit) endLogin() error {
	if v.page.People == nil {
		return errNoProvider
	}
	kept := ""
	if c, err := v.r.Cookie(keepCookie); err == nil {
		kept = c.Value
	}
	http.SetCookie(v.w, keep("", -1))
	l, err := v.page.People.Finish(v.ctx, kept, v.r.URL.Query())
	if err != nil {
		code := http.StatusBadGateway
		if errors.Is(err, provider.ErrRefused) {
			_, code, _ = v.page.API.Enter(v.r, "") // counts it with wrong tokens
		}
		v.page.Log.Warn("login refused", "peer", v.r.RemoteAddr, "code", code, "by", v.page.People.Host(), "err", err)
		return v.showLogin(code, err.Error())
	}
	v.page.API.Record(v.r, l.Holder, "GET /login/oidc/callback")
	sum := access.SumOf(v.page.Tokens.Login(l.Holder, l.Until))
	v.page.visits.end(v.r)
	lasts := time.Until(l.Until)
	http.SetCookie(v.w, cookie(cookieName, v.page.visits.begin(sum, lasts), int(lasts/time.Second)))
	http.SetCookie(v.w, cookie(visitCookie, "", -1))
	v.page.Log.Info("logged in", "person", l.Holder.Name, "role", l.Holder.Role, "on", l.Holder.Within, "subject",
		l.Subject, "until", l.Until, "peer", v.r.RemoteAddr)
	// Not a redirect: a browser that comes from another site would not send the cookie along with it. This page's own
	// next request has it.
	next := "/"
	if u, err := url.Parse(local(l.Next)); err == nil {
		next = u.String()
	}
	v.w.Header().Set("Refresh", "0; url="+next)
	return v.show(http.StatusOK, "entered", "Logged in", &enteredView{l.Holder.Name, l.Holder.Role, next})
}

// enteredView is shown for a moment.
type enteredView struct{ Name, Role, Next string }

// commandView is of a token for the command line.
type commandView struct {
	Token, Server string // no token yet: it is made by the page's button
	Until         time.Time
}

// person says until when who is logged in by the provider is; others have their own token.
func (v *visit) person() (until time.Time, err error) {
	until, ok := v.page.Tokens.Until(v.known.token)
	if !ok {
		return until, &refused{http.StatusConflict, "you are logged in with a token: the command line takes the same " +
			"one (`diskcast login`)"}
	}
	return until, nil
}

func (v *visit) tokenForm() error {
	until, err := v.person()
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, "token", "The command line", &commandView{"", v.page.About.Server, until})
}

// ownToken gives who is logged in by the provider a token for the command line, that may what he may, as long as his
// login.
func (v *visit) ownToken() error {
	until, err := v.person()
	if err != nil {
		return err
	}
	v.page.API.Record(v.r, v.holder, "POST /token")
	token := v.page.Tokens.Admit(v.holder, until)
	v.page.Log.Info("token made for the command line", "person", v.holder.Name, "role", v.holder.Role, "until", until,
		"peer", v.r.RemoteAddr)
	return v.show(http.StatusOK, "token", "The command line", &commandView{token, v.page.About.Server, until})
}
