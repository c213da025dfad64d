package cmd

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/server/config"
	"github.com/diskcast/diskcast/server/up"
)

func upCommand(e *env) *cobra.Command {
	o := up.Options{Host: up.Real{}}
	var first firsts
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Bring this machine (Debian, Ubuntu) from nothing to serving",
		Long: `Bring this machine, Debian or Ubuntu, from nothing to serving: choose the interface that the nodes ` +
			`are on,
listen whether a DHCP server is there, make the server's identity, the boot directory and ` +
			config.DefaultFile + `, and
start the server: as the unit diskcast.service where it is installed, else in the foreground.

Run again it changes nothing. A settings file that is there is the operator's: it decides, and is not written. A boot
directory that leads to this server stays, unless --kernel asks for another.

With --image NAME=FILE an image is imported when the server serves, unless it has one of that name; with --file,
machines, groups, profiles and rules are made what files say, as diskcast apply does. Both are for a server that runs
as the unit.

The nodes' kernel is the running one; where that does not fit, apt fetches the distribution's. shim and GRUB, for
machines with Secure Boot on, and iPXE are taken where their packages are installed.

Machines of 64-bit ARM have a boot directory of their own. --kernel-arm64 auto makes it too, from the distribution's
packages of kernel, shim and GRUB for them, which apt fetches with lists of its own: nothing of the system changes.
Where it cannot, name a folder with these packages, or the kernel's file with the others beside it.

--public-url and the flags that begin with --oidc say how people log in at the page by the site's OpenID provider, as
those of diskcast serve do. They go into the settings file where none is there yet; all else that serve can be told is
written into that file (diskcast config example), before or after.`,
		Example: `  diskcast up
  diskcast up --interface eth1 --dhcp full
  diskcast up --image debian=debian-12.raw --file lab.yaml
  diskcast up --kernel linux-image-6.1.0-40-amd64 --dry-run
  diskcast up --kernel-arm64 auto
  diskcast up --public-url https://diskcast.example.org --oidc-issuer https://login.example.org/realms/school ` +
			`--oidc-client diskcast --oidc-scopes email,groups --oidc-rules "groups=it -> admin"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.People.Names = nil
			for _, name := range config.PeopleNames() {
				if cmd.Flags().Changed(name) {
					o.People.Names = append(o.People.Names, name)
				}
			}
			o.State, o.Log, o.Version = e.state, e.quiet(), Version
			if !e.JSON {
				o.Say = func(s up.Step) {
					fmt.Fprintf(e.Out, "%-7s %s\n", s.Done, strings.ReplaceAll(s.What, "\n", "\n        "))
				}
			}
			var err error
			if o.After, err = first.check(e); err != nil {
				return err
			}
			r, err := up.Run(cmd.Context(), o)
			if err != nil {
				return err
			}
			if err := e.bring(cmd.Context(), &first, r, o.DryRun, o.Say); err != nil {
				return err
			}
			serves := !r.Serving && !o.DryRun
			if !e.JSON {
				e.upWords(r, &first, o.DryRun)
			} else if !serves {
				return e.Doc(r)
			}
			if !serves {
				return nil
			}
			return e.serve(cmd.Context(), r.Settings, r.File)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Interface, "interface", "", "interface that the nodes are on (default: the only one that fits)")
	f.StringVar(&o.DHCP, "dhcp", "", "full or proxy (default: proxy where another DHCP server gives addresses)")
	f.StringVar(&o.Range, "dhcp-range", "", "addresses to give, A-B (full; default: the upper half of the LAN)")
	f.StringVar(&o.Kernel, "kernel", "",
		"what nodes run: a package's name, a .deb, a vmlinuz or a folder (default: the running kernel)")
	f.StringVar(&o.Console, "console", "", "serial console of the nodes, as ttyS0,115200")
	f.StringVar(&o.KernelARM64, "kernel-arm64", "",
		"a boot directory for machines of 64-bit ARM too, which run this: auto, a package's name, a .deb or a folder")
	f.StringVar(&o.ConsoleARM64, "console-arm64", "", "serial console of those machines, as ttyAMA0")
	f.StringVar(&o.Memtest, "memtest", "",
		"Memtest86+ for the menus of machines: auto (the installed package memtest86+), or the package as a file")
	f.StringVar(&o.File, "config", config.DefaultFile, "settings file")
	f.StringArrayVar(&first.images, "image", nil, "NAME=FILE: import this image when the server serves (several)")
	f.StringArrayVarP(&first.labs, "file", "f", nil, "apply this YAML file when the server serves (several)")
	o.People.Settings = config.PeopleFlags(f)
	f.BoolVar(&o.Alone, "foreground", false, "serve in the foreground, whatever the service manager has")
	f.BoolVar(&o.DryRun, "dry-run", false, "say what would be done, and do nothing")
	return cmd
}

// upWords are the last words before the server serves, or of a run that changed nothing.
func (e *env) upWords(r *up.Result, first *firsts, dry bool) {
	switch {
	case dry:
		fmt.Fprintln(e.Out, "nothing was done")
		return
	case !r.Changed && r.Serving:
		fmt.Fprintln(e.Out, "nothing was to be done")
	}
	state := ""
	if r.Settings.State != config.Defaults().State {
		state = " --state " + r.Settings.State
	}
	where := " --server " + r.URL + state
	image, on := first.name(), first.on()
	next := "diskcast session create --image " + cmp.Or(image, "debian") + " --nodes all --disk only --watch" + where
	if on != "" { // with an image named, the machines' profile would not count
		next = "diskcast session create --on " + on + " --watch" + where
	}
	if image == "" {
		next = "diskcast image import DISK.raw --name debian" + where + "\n        " + next
	}
	fmt.Fprintf(e.Out, `
server  %s
log in  with the operator's token, which `+"`diskcast token%s`"+` prints (it is in %s)
next    %s
`, r.URL, state, r.Token, next)
}
