package page

import (
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/browser"
	"github.com/diskcast/diskcast/server/access/provider/providertest"
)

// TestDayByProvider: a real browser comes back from a provider at another site, is logged in without being asked again,
// and gets a token. Which cookies go along with which request is the browser's to judge here.
func TestDayByProvider(t *testing.T) {
	browser.Wanted(t)
	r := newRig(t, options{})
	r.srv.URL = strings.Replace(r.srv.URL, "127.0.0.1", "localhost", 1) // another site than the provider's
	at := r.withProvider(t)
	at.Do(func(p *providertest.Provider) { p.Asks = true })
	c := r.tab(t)
	c.Open("/machines?q=spare")
	c.See("Log in with")
	c.Shoot("login-provider")
	c.Click(`a[href^="/login/oidc"]`)
	c.Click("#yes")
	c.Wait("the page that was wanted", `location.pathname + location.search === "/machines?q=spare"`)
	c.See("oidc:ada@example.org")
	c.Click(`a[href="/token"]`)
	c.See("Make a token")
	c.Shoot("token")
	c.Click(`form[action="/token"] button`)
	c.See("It is shown this once")
	c.Shoot("token-made")
	token := c.JS(`document.querySelector("dd code.long").textContent`)
	if h, ok := r.book.Who(token); !ok || h.Name != "oidc:ada@example.org" {
		t.Errorf("the token %q is %+v's", token, h)
	}
	c.Click(`form[action="/logout"] button`)
	c.See("Log in with")
	if _, ok := r.book.Who(token); !ok {
		t.Error("the token ended with the browser's login, and not at its time")
	}
}
