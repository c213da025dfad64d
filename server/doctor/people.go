package doctor

import (
	"context"

	"github.com/diskcast/diskcast/server/access/provider"
)

// lookPeople asks the provider by which people log in whether it is there and knows this server.
func lookPeople(ctx context.Context, s *Subject, l *Look) {
	if s.People == nil {
		l.well("people log in with tokens alone: no provider is set (oidc-issuer)")
		return
	}
	p, err := provider.New(*s.People, nil)
	if err != nil {
		l.find(OIDCSettings, err.Error(), "the server does not start with these settings",
			"mend the file that is named")
		return
	}
	known, err := p.Probe(ctx)
	switch {
	case err != nil:
		l.find(OIDCSilent, err.Error(), "nobody can log in by the provider; tokens log in as ever",
			"curl -v "+s.People.Issuer+"/.well-known/openid-configuration")
	case known != "":
		l.find(OIDCRedirect, "the provider "+p.Host()+" does not send browsers back to "+p.Redirect()+": "+known,
			"nobody can log in by the provider; tokens log in as ever",
			"register this redirect URL for the client "+s.People.Client+
				" at the provider, or mend public-url and oidc-client")
	default:
		l.well("the provider %s answers, and sends browsers back to %s", p.Host(), p.Redirect())
	}
}
