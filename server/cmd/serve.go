package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/server/config"
	"github.com/diskcast/diskcast/server/hooks"
	"github.com/diskcast/diskcast/server/identity"
	"github.com/diskcast/diskcast/server/netboot/dhcp"
	"github.com/diskcast/diskcast/server/serve"
	"github.com/diskcast/diskcast/server/serve/sluice"
)

func serveCommand(e *env) *cobra.Command {
	var file string
	var set *config.Settings
	cmd := &cobra.Command{
		Use:   "serve --interface IF",
		Short: "Serve network boot, casts and the API",
		Long: `Serve network boot, casts and the API on one interface until interrupted.

Beside a site's DHCP server, --dhcp proxy adds only what network boot needs. On a LAN without one, --dhcp full gives
addresses as well; it looks for another one at the start, for 4 seconds, and is refused if there is one. With --dhcp
off, the site's DHCP server sends machines to this one by itself.

Each flag is also a key of a settings file, ` + config.DefaultFile + ` if it is there or the one that --config names;
a flag wins over the file. ` + "`diskcast config example`" + ` prints one.

Killed at any moment and started again, the server goes on with the sessions it had.`,
		Example: `  diskcast serve --interface eth1
  diskcast serve --interface eth1 --dhcp full --dhcp-range 10.0.0.100-10.0.0.200 --state /srv/diskcast`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			from, err := e.settle(cmd, file, set)
			if err != nil {
				return err
			}
			return e.serve(cmd.Context(), set, from)
		},
	}
	set = settingsFlags(cmd, &file)
	return cmd
}

// settingsFlags are a flag for each setting, and the one that names their file.
func settingsFlags(cmd *cobra.Command, file *string) *config.Settings {
	cmd.Flags().StringVar(file, "config", config.DefaultFile, "settings file; none reads no file")
	return config.Flags(cmd.Flags())
}

// settle gives the settings what no flag says of them: from the file, which is nil where there is none.
func (e *env) settle(cmd *cobra.Command, file string, set *config.Settings) (*config.File, error) {
	from, err := readSettings(file, cmd.Flags().Changed("config"))
	if err == nil && from != nil {
		err = from.Apply(cmd.Flags())
	}
	if err != nil {
		return nil, &codeError{exitUsage, err}
	}
	set.State, set.Debug = e.state, e.debug
	return from, nil
}

// serve runs the server with the settings, which the file, if any, is a part of.
func (e *env) serve(ctx context.Context, set *config.Settings, from *config.File) error {
	cfg, err := serveConfig(set)
	if err != nil {
		return err
	}
	cfg.Log = slog.New(sluice.New(e.log().Handler()))
	if from != nil {
		cfg.Notify = from.Notify
		cfg.Log.Info("settings read", "file", from.Name, "keys", len(from.Values))
	}
	cfg.Started = func(i serve.Info) { e.started(i) }
	cfg.Version = Version
	return serve.Run(ctx, *cfg)
}

// readSettings reads the file; nil when it is the one that need not be there, and is not.
func readSettings(file string, named bool) (*config.File, error) {
	if file == noSettings {
		return nil, nil
	}
	f, err := config.Read(file)
	if !named && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return f, err
}

// noSettings is the word that reads no settings file.
const noSettings = "none"

// serveConfig is what the settings say to the server.
func serveConfig(set *config.Settings) (*serve.Config, error) {
	wrong := (*config.ValueError)(nil)
	switch err := set.Check(); {
	case errors.As(err, &wrong):
		return nil, usage("--%w", err)
	case err != nil:
		return nil, err
	case set.Interface == "":
		return nil, usage("name the interface that the nodes are on with --interface")
	case dhcp.Mode(set.DHCP) == dhcp.Full && set.Range == "" && !strings.Contains(set.Address, ":"): // IPv6 has none
		return nil, usage("--dhcp full needs --dhcp-range, such as 10.0.0.100-10.0.0.200")
	}
	cfg := &serve.Config{
		State: set.State, Store: set.Store, BootDir: set.BootDir, Interface: set.Interface,
		DHCP: dhcp.Mode(set.DHCP), UEFI: dhcp.Loader(set.Loader), FirmwareStarts: set.OwnDisk == "firmware",
		Range: set.Range, LeaseTime: set.LeaseTime,
		Advertise: set.Advertise, AllowOtherDHCP: set.AllowOtherDHCP, TFTP: set.TFTP, HTTP: set.HTTP,
		BootHTTPS: set.BootHTTPS,
		Listen:    set.Listen,
		HookTime:  set.HookTime, Querier: set.Querier, Optimize: set.Optimize == "idle", Approve: set.Approve,
		Traces: set.Traces,
	}
	var err error
	if cfg.Hooks, err = hooks.ParseAll(set.Hooks); err != nil {
		return nil, err
	}
	if cfg.People, err = set.People(); err != nil {
		return nil, err
	}
	// Check has read them all once.
	cfg.MaxCasts, _ = strconv.Atoi(set.Casts)
	cfg.Address, _ = netip.ParseAddr(set.Address)
	cfg.Router, _ = netip.ParseAddr(set.Router)
	for _, s := range set.DNS {
		a, _ := netip.ParseAddr(s)
		cfg.DNS = append(cfg.DNS, a)
	}
	cfg.Groups, _ = netip.ParsePrefix(set.Groups)
	cfg.RateCap, err = parseRate(set.RateCap)
	return cfg, err
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
	if i.BootHTTPS != "" {
		fmt.Fprintf(e.Out, "  HTTPS boot   %s (diskcast boot-ca prints what firmware must know)\n", i.BootHTTPS)
	}
	fmt.Fprintf(e.Out, "ready\n")
}

func tokenCommand(e *env) *cobra.Command {
	var make bool
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Print the operator token and the server's pin, made now if there are none",
		Long: `Print the operator token and the pin of the server's key. Both are made when the state directory has ` +
			`none, so that
mkimage can be given the pin before the server runs for the first time. A state directory that is named and is not there
is refused, for its name may be a slip; --make makes it.

The token is as good as the server's root password: whoever has it can overwrite the disks of all nodes. "token create"
makes others that may less, and end.`,
		Example: `  diskcast token --state /srv/diskcast
  mkimage --pin "$(diskcast token --json | jq -r .pin)" ...`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !make {
				if err := e.mayMake("`diskcast token --make` makes it before a server runs"); err != nil {
					return err
				}
			}
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
	cmd.Flags().BoolVar(&make, "make", false, "make the state directory where it is not there")
	cmd.AddCommand(tokenCreate(e), tokenList(e), tokenRemove(e))
	return cmd
}
