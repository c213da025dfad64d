package serve

import (
	"github.com/diskcast/diskcast/server/access/provider"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
	"github.com/diskcast/diskcast/server/page"
)

// people has people log in by the site's provider, where there is one; it is asked nothing yet.
func (cfg *Config) people(eng *engine.Engine) (page.People, error) {
	if cfg.People == nil {
		return nil, nil
	}
	hold := func(on string) (string, error) {
		in := doc.TokenSpec{On: on}
		_, err := eng.HoldTo(&in)
		return in.On, err
	}
	for _, r := range cfg.People.Rules {
		if _, err := hold(r.On); err != nil { // a group may come later
			cfg.Log.Warn("whom this rule fits cannot log in as long as its machines cannot be said",
				"rule", r.Claim+"="+r.Value, "on", r.On, "err", err)
		}
	}
	p, err := provider.New(*cfg.People, hold)
	if err != nil {
		return nil, err // of a type that is no nil
	}
	return p, nil
}
