package cmd

import (
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/cast"
	"github.com/diskcast/diskcast/server/identity"
	"github.com/diskcast/diskcast/server/netboot/dhcp"
	"github.com/diskcast/diskcast/server/serve"
	"github.com/diskcast/diskcast/server/serve/sluice"
)

func serveCommand(e *env) *cobra.Command {
	var cfg serve.Config
	var mode, loader, address, router, groups, rate, optimizing string
	var dns []string
	cmd := &cobra.Command{
		Use:   "serve --interface IF",
		Short: "Serve network boot, casts and the API",
		Long: `Serve network boot, casts and the API on one interface until interrupted.

Beside a site's DHCP server, --dhcp proxy adds only what network boot needs. On a LAN without one, --dhcp full gives
addresses as well; it looks for another one at the start, for 4 seconds, and is refused if there is one. With --dhcp
off, the site's DHCP server sends machines to this one by itself.

Killed at any moment and started again, the server goes on with the sessions it had.`,
		Example: `  diskcast serve --interface eth1
  diskcast serve --interface eth1 --dhcp full --dhcp-range 10.0.0.100-10.0.0.200 --state /srv/diskcast`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.State, cfg.Store, cfg.DHCP = e.state, e.store, dhcp.Mode(mode)
			cfg.Log = slog.New(sluice.New(e.log().Handler()))
			switch cfg.UEFI = dhcp.Loader(loader); cfg.UEFI {
			case dhcp.Auto, dhcp.WithIPXE, dhcp.WithShim:
			default:
				return usage("--uefi-loader %q is none of auto, ipxe, shim", loader)
			}
			if cfg.Interface == "" {
				return usage("name the interface that the nodes are on with --interface")
			}
			switch cfg.DHCP {
			case dhcp.Full:
				if cfg.Range == "" {
					return usage("--dhcp full needs --dhcp-range, such as 10.0.0.100-10.0.0.200")
				}
			case dhcp.Proxy, dhcp.Off:
			default:
				return usage("--dhcp %q is none of full, proxy, off", mode)
			}
			var err error
			for _, x := range []struct {
				flag, value string
				into        *netip.Addr
			}{{"--address", address, &cfg.Address}, {"--router", router, &cfg.Router}} {
				if x.value == "" {
					continue
				}
				if *x.into, err = netip.ParseAddr(x.value); err != nil || !x.into.Is4() {
					return usage("%s %q is not an IPv4 address", x.flag, x.value)
				}
			}
			for _, s := range dns {
				a, err := netip.ParseAddr(s)
				if err != nil || !a.Is4() {
					return usage("--dns %q is not an IPv4 address", s)
				}
				cfg.DNS = append(cfg.DNS, a)
			}
			if cfg.Groups, err = netip.ParsePrefix(groups); err != nil || !cfg.Groups.Addr().Is4() ||
				!cfg.Groups.Addr().IsMulticast() || cfg.Groups.Bits() < 9 {
				return usage("--groups %q is not a multicast prefix such as %v", groups, cast.DefaultGroups)
			}
			if cfg.RateCap, err = parseRate(rate); err != nil {
				return err
			}
			switch optimizing {
			case "idle":
				cfg.Optimize = true
			case "off":
			default:
				return usage("--optimize %q is none of off, idle", optimizing)
			}
			cfg.Started = func(i serve.Info) { e.started(i) }
			cfg.Version = Version
			return serve.Run(cmd.Context(), cfg)
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Interface, "interface", "", "interface that the nodes are on")
	f.StringVar(&address, "address", "", "the server's address on it, where it has several")
	f.StringVar(&mode, "dhcp", string(dhcp.Proxy), "full, proxy (beside the site's DHCP server) or off")
	f.StringVar(&loader, "uefi-loader", string(dhcp.Auto),
		"what UEFI machines start with: ipxe, shim (which Secure Boot allows), or auto: shim where the boot "+
			"directory has it")
	f.BoolVar(&cfg.AllowOtherDHCP, "allow-other-dhcp", false,
		"give addresses although another DHCP server does on the same LAN (full)")
	f.StringVar(&cfg.Range, "dhcp-range", "", "addresses to give, A-B (full)")
	f.StringVar(&router, "router", "", "default router to give (full)")
	f.StringSliceVar(&dns, "dns", nil, "name servers to give (full)")
	f.DurationVar(&cfg.LeaseTime, "lease-time", 12*time.Hour,
		"how long an address is given to a machine that booted from this server; others get a short lease that grows "+
			"(full)")
	f.StringVar(&cfg.BootDir, "boot-dir", "", "what mkimage laid out (default STATE/boot)")
	f.StringVar(&e.store, "store", "", "image store (default STATE/images)")
	f.BoolVar(&cfg.TFTP, "tftp", true, "serve the boot files over TFTP too")
	f.StringVar(&cfg.HTTP, "http", ":8080", "address of the boot files over HTTP")
	f.StringVar(&cfg.Listen, "listen", ":8443", "address of the API over HTTPS")
	f.StringVar(&groups, "groups", cast.DefaultGroups.String(), "multicast groups to take casts' from")
	f.BoolVar(&cfg.Querier, "querier", true,
		"ask hosts for their multicast groups (IGMP, MLD) when nobody else on the LAN does")
	f.StringVar(&optimizing, "optimize", "off",
		"idle: compress images again, better, while no session runs, as image optimize does")
	f.StringVar(&rate, "rate-cap", "", "bound on each cast's rate, such as 900M (bits a second; default: the link)")
	return cmd
}

func (e *env) started(i serve.Info) {
	if e.JSON {
		_ = e.Doc(i) // e.Out remembers that it failed
		return
	}
	fmt.Fprintf(e.Out, "diskcast serves on %s (%v), DHCP %s\n", i.Interface, i.Address, i.DHCP)
	fmt.Fprintf(e.Out, "  API          %s\n  pin          %s\n  boot files   %s from %s\n  images       %s\n  token  "+
		"      in %s\n",
		i.Server, i.Pin, i.Boot, i.BootDir, i.Store, i.TokenFile)
	fmt.Fprintf(e.Out, "ready\n")
}

func tokenCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "token",
		Short: "Print the operator token and the server's pin, made now if there are none",
		Long: `Print the operator token and the pin of the server's key. Both are made when the state directory has none, so that
mkimage can be given the pin before the server runs for the first time.

The token is as good as the server's root password: whoever has it can overwrite the disks of all nodes.`,
		Example: `  diskcast token --state /srv/diskcast
  mkimage --pin "$(diskcast token --json | jq -r .pin)" ...`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			id, err := identity.Load(e.state)
			if err != nil {
				return err
			}
			if e.JSON {
				return e.Doc(map[string]string{"token": id.Token, "pin": id.Pin})
			}
			_, err = fmt.Fprintf(e.Out, "token  %s\npin    %s\n", id.Token, id.Pin)
			return err
		},
	}
}
