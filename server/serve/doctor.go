package serve

import (
	"context"
	"errors"
	"time"

	"github.com/diskcast/diskcast/server/audit"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/doctor"
	"github.com/diskcast/diskcast/server/engine"
	"github.com/diskcast/diskcast/server/herald"
)

// listensFor is how long a server that looks at itself listens for a querier, where it is none.
const listensFor = 20 * time.Second

// Subject is a server with these settings as doctor looks at it, without what it has to be asked for.
func Subject(cfg Config) *doctor.Subject {
	s := &doctor.Subject{Interface: cfg.Interface, State: cfg.State, DHCP: cfg.DHCP, TFTP: cfg.TFTP, Groups: cfg.Groups,
		Querier: cfg.Querier, People: cfg.People, Version: cfg.Version, Host: doctor.Real{}, Log: cfg.Log}
	s.BootDir, s.Store = cfg.Dirs()
	info, lan, err := Where(cfg)
	if s.Broken, s.LAN = err, lan; err == nil {
		s.HTTP, s.API, s.HTTPS = info.HTTP, info.API, info.HTTPS
	}
	return s
}

// inside is what doctor asks the server that it is a part of.
type inside struct {
	engine *engine.Engine
	words  *herald.Herald
	record *audit.Log
	dhcp   func() doc.DHCP // nil: none
}

var _ doctor.Server = (*inside)(nil)

func (i *inside) Nodes(context.Context) ([]doc.Node, error) { return i.engine.Nodes(), nil }

func (i *inside) Receivers(context.Context) ([]doc.NotifyReceiver, error) { return i.words.List(), nil }

func (i *inside) Audit(ctx context.Context, after uint64, limit int) (*doc.Audit, error) {
	return i.record.List(ctx, after, limit)
}

func (i *inside) DHCP(context.Context) (*doc.DHCP, error) {
	if i.dhcp == nil {
		return nil, errors.New("this server does nothing for DHCP (--dhcp off)")
	}
	v := i.dhcp()
	return &v, nil
}

// newRounds returns the looks of the server at itself. Its interface is looked at anew each time.
func newRounds(cfg Config, pin string, in *inside) *doctor.Rounds {
	log := cfg.Log.With("task", "doctor")
	return doctor.NewRounds(func(ctx context.Context) *doctor.Report {
		s := Subject(cfg)
		s.Pin, s.Server, s.Inside, s.Patience, s.Log = pin, in, true, listensFor, log
		return doctor.Run(ctx, s)
	}, log)
}
