package main

import (
	"context"
	"net"
	"net/netip"
	"net/url"

	"github.com/diskcast/diskcast/agent/network"
	"github.com/diskcast/diskcast/internal/wiring"
)

// online brings the node onto the network and returns what waits for that; the link is nil with -no-network. Where the
// card is known that the node booted from, and nothing is said of it, this goes on while other drivers are loaded, up
// to the connection that the hello will use; of other cards, which are taken is known when all are there.
func (a *agent) online(ctx context.Context) func() (*network.Link, error) {
	if a.o.noNetwork {
		return func() (*network.Link, error) { return nil, nil }
	}
	type result struct {
		link *network.Link
		err  error
	}
	done := make(chan result, 1)
	go func() { // ends with ctx
		beside := a.settings.BootMAC != nil && a.settings.Wiring == wiring.Settings{}
		if !beside {
			if err := waitFor(ctx, a.drivers); err != nil {
				done <- result{err: err}
				return
			}
		}
		linux := &network.Linux{ResolvConf: "/etc/resolv.conf", Log: a.log, Server: literal(a.settings.Server)}
		if a.o.noBoot {
			linux.ResolvConf = "" // it belongs to whoever else lives on this machine
		}
		link, err := network.Up(ctx, network.Options{System: linux, Drivers: a.drivers, BootMAC: a.settings.BootMAC,
			Wiring: a.settings.Wiring, Reach: a.reach, Log: a.log})
		if err == nil {
			a.client.Prepare(ctx)
		}
		done <- result{link, err}
	}()
	return func() (*network.Link, error) {
		r := <-done
		return r.link, r.err
	}
}

// waitFor waits until a channel is closed, or ctx ends.
func waitFor(ctx context.Context, c <-chan struct{}) error {
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// literal is the address in a URL that has one and no name; else invalid.
func literal(server string) netip.Addr {
	u, err := url.Parse(server)
	if err != nil {
		return netip.Addr{}
	}
	a, _ := netip.ParseAddr(u.Hostname()) // what is a name is no address
	return a
}

// reach tells whether the server's port answers.
func (a *agent) reach(ctx context.Context) error {
	u, err := url.Parse(a.settings.Server)
	if err != nil {
		return err
	}
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), "443")
	}
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", host)
	if err != nil {
		return err
	}
	return c.Close()
}
