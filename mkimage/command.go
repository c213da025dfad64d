package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	contract "github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/internal/emptyflag"
	"github.com/diskcast/diskcast/mkimage/bootdir"
	"github.com/diskcast/diskcast/mkimage/machines"
	"github.com/diskcast/diskcast/mkimage/memtest"
	"github.com/diskcast/diskcast/mkimage/modules"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const long = `Makes a boot directory for diskcast serve: kernel, archive (userland, kernel modules, site settings), ` +
	`iPXE and
its script, and for machines with Secure Boot on shim and GRUB.

The same inputs give the same bytes. The directory changes in one step, also under a running server. Times in the ` +
	`archive are
those of SOURCE_DATE_EPOCH, or 1970.

The kernel is a file (with its modules from /lib/modules) or a package of Debian, RPM, Arch or Alpine, which needs not
be installed:

  apt-get download linux-image-amd64   # a package that only names the real one
  apt-get download linux-image-6.1.0-40-amd64
  dnf download kernel-core kernel-modules-core kernel-modules   # the first for --kernel, the others for --modules-from

Groups of modules for --modules:
`

const example = `  # the running kernel of this machine, for the server on 10.0.0.1
  mkimage --kernel /boot/vmlinuz-$(uname -r) --server https://10.0.0.1:8443 --pin sha256:... --out /srv/diskcast/boot

  # a Debian package; messages and a login for trouble on the first serial line
  mkimage --kernel linux-image-6.1.0-40-amd64_6.1.153-1_amd64.deb --server https://10.0.0.1:8443 --pin sha256:... \
          --console ttyS0,115200 --out boot

  # network cards that need firmware, and one module more than usual
  mkimage --kernel linux-image.deb --firmware firmware-bnx2x.deb --modules default,ipmi_si --server ... --pin ... ` +
	`--out boot

  # as small as these machines allow: only the drivers that they asked for when they were started once
  mkimage --for https://10.0.0.1:8443 --select room=101 --kernel ... --server ... --pin ... --out boot

  # machines with Secure Boot on: boot loaders of the kernel's distribution, here from packages that are not installed
  apt-get download shim-signed grub-efi-amd64-signed
  mkimage --shim shim-signed_*.deb --grub grub-efi-amd64-signed_*.deb --kernel ... --server ... --pin ... --out boot

  # for UEFI machines that cannot boot from the network: a stick, a BMC's CD; signed with the site's own key for Secure
  # Boot; without --out there is no boot directory
  mkimage --kernel ... --server ... --pin ... --usb node.img --iso node.iso --sign site.key --cert site.crt

  # what is in it, what another one has else, whether machines can start from it
  mkimage inspect boot
  mkimage diff boot.old boot
  mkimage verify boot

  # the pin of the server's key
  diskcast token --state /var/lib/diskcast`

func newCommand(archive func(contract.Arch) ([]byte, error)) *cobra.Command {
	var o options
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "mkimage --kernel FILE --server URL --pin PIN --out DIR",
		Short:   "Make the directory that nodes boot from",
		Version: version,
		Long:    long + groupTable(),
		Example: example,
		Args: func(cmd *cobra.Command, args []string) error {
			err := cobra.NoArgs(cmd, args)
			if err == nil {
				err = cmd.ValidateRequiredFlags()
			}
			if err == nil && o.out == "" && len(o.media.outputs()) == 0 {
				err = errors.New("nothing to make: give --out, --uki, --usb or --iso")
			}
			if err != nil {
				return usageError{fmt.Errorf("%w (usage: %s)", err, cmd.UseLine())}
			}
			return nil
		},
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := build(cmd.Context(), &o, os.Getenv("SOURCE_DATE_EPOCH"), archive)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), r)
			}
			return r.print(cmd.OutOrStdout())
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w (see `mkimage --help`)", err)}
	})
	f := cmd.Flags()
	f.StringVar(&o.kernel, "kernel", "", "vmlinuz, or a package with one")
	f.StringVar(&o.arch, "arch", "",
		"amd64 or arm64: refuse a kernel for machines of another processor (default: they are the kernel's)")
	f.StringSliceVar(&o.modulesFrom, "modules-from", nil,
		"folder /lib/modules/RELEASE, or a package with it (default: the kernel's package, or /lib/modules)")
	f.StringSliceVar(&o.modules, "modules", []string{"default"},
		"groups (see above) and names of modules; what they need comes along")
	f.StringSliceVar(&o.machines, "for", nil,
		"machines whose hardware is known: https://SERVER, or a file from 'diskcast machine inventory'; of --modules "+
			"only what they need is taken")
	f.StringArrayVar(&o.selects, "select", nil,
		"of --for https://SERVER: only the machines that the SELECTOR fits (several: any of them)")
	f.StringVar(&o.tokenFile, "token-file", "",
		"of --for https://SERVER: file with a token, which goes with --pin (default: what 'diskcast login' remembered)")
	f.StringSliceVar(&o.firmware, "firmware", nil,
		"folder like /lib/firmware, or a package with one; the chosen modules' files are taken")
	f.StringVar(&o.server, "server", "", "URL of the server's node API, https://HOST:8443")
	f.StringVar(&o.pin, "pin", "", "the server's key: sha256: and 64 hexadecimal digits")
	f.StringVar(&o.console, "console", "", "serial console of the nodes, as ttyS0,115200")
	f.StringVar(&o.vlan, "vlan", "", "VLAN that the nodes tag their packets with, 1 to 4094")
	f.StringVar(&o.bond, "bond", "", "bond of the nodes' NICs: MODE, or MODE:NIC,NIC with names or MAC addresses "+
		"(802.3ad, active-backup ...)")
	f.StringVar(&o.ip, "ip", "", "address of the one node that starts from this, as the kernel's ip=: "+
		"ADDRESS::GATEWAY:NETMASK::NIC:none:DNS (default: DHCP)")
	f.StringVar(&o.append, "append", "", "added to the kernel's command line of every node")
	f.StringVar(&o.baseURL, "base-url", "",
		"where iPXE and GRUB find kernel and archive (default: beside their script)")
	f.StringVar(&o.ipxe, "ipxe", "", "folder with undionly.kpxe, ipxe.efi, snponly.efi (default "+defaultIPXE+
		" when it is there); none leaves iPXE out")
	f.StringVar(&o.ipxeShim, "ipxe-shim", "",
		"for Secure Boot without GRUB: folder with the signed binaries of an iPXE release (snponly-shim.efi, "+
			"snponly.efi); --shim must be there too")
	f.StringVar(&o.shim, "shim", "",
		"for Secure Boot: shimx64.efi.signed, or the package shim-signed (default: the installed one); none leaves "+
			"shim and GRUB out")
	f.StringVar(&o.grub, "grub", "",
		"for Secure Boot: grubnetx64.efi.signed, or the package grub-efi-amd64-signed (default: the installed one)")
	f.StringArrayVar(&o.memtest, "memtest", nil,
		"Memtest86+ for menus: the package memtest86+, or memtest86+x64.efi and memtest86+x64.bin; auto takes the "+
			"installed ones of "+memtest.Installed)
	f.StringVar(&o.out, "out", "", "boot directory to make or to replace")
	f.BoolVar(&asJSON, "json", false, "print the result as JSON")
	o.media.flags(f)
	if err := cmd.MarkFlagRequired("kernel"); err != nil {
		panic(err)
	}
	cmd.CompletionOptions.DisableDefaultCmd = true // the packages bring completions
	cmd.AddCommand(append(readers(), runCommand(), testCommand())...)
	emptyflag.Refuse(cmd, func(_ *cobra.Command, f *pflag.Flag) bool { return f.Name == "append" }, // it adds nothing
		func(err error) error { return usageError{err} })
	return cmd
}

func groupTable() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "  default\t%s\n", strings.Join(modules.Default, ", "))
	for _, g := range modules.GroupNames() {
		fmt.Fprintf(w, "  %s\t%s\n", g, modules.About(g))
	}
	w.Flush()
	return strings.TrimSuffix(b.String(), "\n")
}

// result is what mkimage says at its end, as text or as JSON.
type result struct {
	For      *machines.Choice  `json:"for,omitempty"`
	Memory   *machines.Memory  `json:"memory,omitempty"`
	Out      string            `json:"out,omitempty"`
	Media    []medium          `json:"media,omitempty"`
	Notes    []string          `json:"notes,omitempty"`
	Manifest *bootdir.Manifest `json:"manifest"`
}

func (r *result) print(w io.Writer) error {
	m := r.Manifest
	if r.Out != "" {
		fmt.Fprintf(w, "%s: ", r.Out)
	}
	fmt.Fprintf(w, "Linux %s, %d modules, %d files of firmware\n", m.Kernel, len(m.Modules), len(m.Firmware))
	if r.For != nil {
		for _, line := range r.For.Words() {
			fmt.Fprintln(w, line)
		}
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, x := range r.Media {
		fmt.Fprintf(tw, "  %.2f MiB\t  %s\t\n", float64(x.Size)/(1<<20), x.Path)
	}
	names := slices.Sorted(maps.Keys(m.Files))
	if r.Out == "" {
		names = nil
	}
	for _, name := range names {
		fmt.Fprintf(tw, "  %.2f MiB\t  %s\t\n", float64(m.Files[name].Size)/(1<<20), name)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "the archive takes %.1f MiB of a node's memory\n", float64(m.Unpacked)/(1<<20))
	if r.Memory != nil {
		fmt.Fprintln(w, r.Memory.Words())
	}
	for _, n := range r.Notes {
		fmt.Fprintln(w, "note:", n)
	}
	return nil
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
