package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/diskcast/diskcast/internal/cast"
	"github.com/diskcast/diskcast/internal/units"
	"github.com/diskcast/diskcast/server/hooks"
	"github.com/diskcast/diskcast/server/netboot/dhcp"
)

// Defaults are the settings of a server that was told nothing.
func Defaults() *Settings {
	return &Settings{
		State: "/var/lib/diskcast", DHCP: string(dhcp.Proxy), Loader: string(dhcp.Auto), OwnDisk: "grub", HTTP: ":8080",
		Listen: ":8443", Groups: cast.DefaultGroups.String(), Optimize: "off", Approve: "all", TFTP: true,
		Querier: true, LeaseTime: 12 * time.Hour, HookTime: 5 * time.Minute,
		Scopes: []string{"profile", "email"}, PersonClaim: "email", LoginTime: 8 * time.Hour,
	}
}

const addressUnit = `an IPv4 address, such as "10.0.0.1"`

var table = []Setting{
	{Name: "interface", About: "interface that the nodes are on", Unit: `the name of an interface, such as "eth1"`,
		at: func(v *Settings) any { return &v.Interface }},
	{Name: "address", About: "the server's address on it, where it has several", Unit: `an address,
		such as "10.0.0.1"; one of ` +
		`IPv6 means that the LAN has IPv6 alone`,
		at: func(v *Settings) any { return &v.Address }, check: anyAddress},
	{Name: "dhcp", About: "full, proxy (beside the site's DHCP server) or off", Unit: "a word",
		at: func(v *Settings) any { return &v.DHCP }, check: oneOf("full", "proxy", "off")},
	{Name: "dhcp-range", About: "addresses to give, A-B (full)",
		Unit: `two IPv4 addresses, such as "10.0.0.100-10.0.0.200"`,
		at:   func(v *Settings) any { return &v.Range }},
	{Name: "router", About: "default router to give (full)", Unit: addressUnit,
		at: func(v *Settings) any { return &v.Router }, check: address},
	{Name: "dns", About: "name servers to give (full)", Unit: `a list of addresses, such as ["10.0.0.1"]`,
		at: func(v *Settings) any { return &v.DNS }, check: anyAddressOnly},
	{Name: "ra", About: "tell hosts what is on the link (router advertisements), on a LAN with IPv6 alone and no " +
		"router",
		Unit: "true or false", at: func(v *Settings) any { return &v.Advertise }},
	{Name: "lease-time", About: "how long an address is given to a machine that booted from this server; others get " +
		"a short lease that grows (full)", Unit: `a duration in h, m and s, such as "12h" or "1h30m"`,
		at: func(v *Settings) any { return &v.LeaseTime }},
	{Name: "allow-other-dhcp", About: "give addresses although another DHCP server does on the same LAN (full)",
		Unit: "true or false", at: func(v *Settings) any { return &v.AllowOtherDHCP }},
	{Name: "uefi-loader", About: "what UEFI machines start with: ipxe, shim (which Secure Boot allows), ipxe-shim " +
		"(mkimage --ipxe-shim, which it allows too), uki (mkimage --boot-uki, for the site's own key), or auto: shim " +
		"where the boot directory has it", Unit: "a word",
		at: func(v *Settings) any { return &v.Loader }, check: oneOf("auto", "ipxe", "shim", "ipxe-shim", "uki")},
	{Name: "own-disk", About: "what starts a UEFI machine's own disk: grub, where it can, or firmware, which may try " +
		"every network protocol first", Unit: "a word",
		at: func(v *Settings) any { return &v.OwnDisk }, check: oneOf("grub", "firmware")},
	{Name: "state", About: "state directory of the server", Unit: "a whole path", path: true, global: true,
		env: "DISKCAST_STATE", at: func(v *Settings) any { return &v.State }},
	{Name: "boot-dir", About: "what mkimage laid out (default STATE/boot)", Unit: "a whole path", path: true,
		at: func(v *Settings) any { return &v.BootDir }},
	{Name: "store", About: "image store (default STATE/images)", Unit: "a whole path", path: true,
		at: func(v *Settings) any { return &v.Store }},
	{Name: "tftp", About: "serve the boot files over TFTP too", Unit: "true or false",
		at: func(v *Settings) any { return &v.TFTP }},
	{Name: "http", About: "address of the boot files over HTTP", Unit: `HOST:PORT, or ":PORT" for all addresses`,
		at: func(v *Settings) any { return &v.HTTP }, check: hostPort},
	{Name: "boot-https", About: "address of the boot files over HTTPS, where UEFI HTTP boot is sent then; firmware " +
		"must know the certificate that diskcast boot-ca prints (default: none)",
		Unit: `HOST:PORT, such as ":8444"; "" is none`,
		at:   func(v *Settings) any { return &v.BootHTTPS }, check: hostPortOrNone},
	{Name: "listen", About: "address of the API over HTTPS", Unit: `HOST:PORT, or ":PORT" for all addresses`,
		at: func(v *Settings) any { return &v.Listen }, check: hostPort},
	{Name: "groups", About: "multicast groups to take casts' from", Unit: "a prefix of groups, of at least 9 bits",
		at: func(v *Settings) any { return &v.Groups }, check: groups},
	{Name: "querier", About: "ask hosts for their multicast groups (IGMP, MLD) when nobody else on the LAN does",
		Unit: "true or false", at: func(v *Settings) any { return &v.Querier }},
	{Name: "rate-cap", About: "bound on each cast's rate, such as 900M (bits a second; default: the link)",
		Unit: `bits a second with K, M or G, such as "900M"; "" is the link's rate`,
		at:   func(v *Settings) any { return &v.RateCap }, check: rate},
	{Name: "casts", About: "sessions that cast at once, at most; others wait for their turn (default: any number)",
		Unit: `a number in quotes, such as "2"; "" is any number`,
		at:   func(v *Settings) any { return &v.Casts }, check: casts},
	{Name: "optimize", About: "idle: compress images again, better, while no session runs, as image optimize does",
		Unit: "a word: off or idle",
		at:   func(v *Settings) any { return &v.Optimize }, check: oneOf("off", "idle")},
	{Name: "traces", About: "OpenTelemetry collector that is told of each session that ended (OTLP over HTTP)",
		Unit: `a URL, such as "http://127.0.0.1:4318"; "" is none`,
		at:   func(v *Settings) any { return &v.Traces }, check: collector},
	{Name: "approve", About: "which machines sessions may take: all; hand: those that diskcast machine approve " +
		"named; rules: these, and those that a rule fits (diskcast rule)", Unit: "a word: all, hand or rules",
		at: func(v *Settings) any { return &v.Approve }, check: oneOf("all", "hand", "rules")},
	{Name: "hooks", About: "programs that sessions may name to run before or after them (session create --before), " +
		"each NAME=/path and its arguments; no shell is asked",
		Unit: `a list of NAME=PROGRAM, such as ["dns=/usr/local/sbin/update-dns --zone lab"]`,
		at:   func(v *Settings) any { return &v.Hooks }, check: hook},
	{Name: "hook-time", About: "how long a hook may take before it is ended",
		Unit: `a duration in h, m and s, such as "5m"`, at: func(v *Settings) any { return &v.HookTime }},
	{Name: "public-url", About: "where browsers find the page, as people type it",
		Unit: `a URL, such as "https://diskcast.example.org:8443"; "" is none`,
		at:   func(v *Settings) any { return &v.Public }, check: publicURL},
	{Name: "oidc-issuer", About: "OpenID provider by which people log in at the page, beside tokens",
		Unit: `a URL, such as "https://login.example.org/realms/school"; "" is none`,
		at:   func(v *Settings) any { return &v.Issuer }, check: secureURL},
	{Name: "oidc-client", About: "this server's client id at the provider, for which the provider must know the " +
		"redirect URL PUBLIC-URL/login/oidc/callback", Unit: "the id",
		at: func(v *Settings) any { return &v.Client }},
	{Name: "oidc-secret-file", About: "file with the client's secret, which nobody but the server may read; a " +
		"client without one is protected by PKCE alone", Unit: "a whole path", path: true,
		at: func(v *Settings) any { return &v.SecretFile }},
	{Name: "oidc-ca-file", About: "file with the certificates (PEM) of those who may vouch for the provider, in " +
		"place of the system's", Unit: "a whole path", path: true,
		at: func(v *Settings) any { return &v.ProviderCA }},
	{Name: "oidc-scopes", About: "what the provider is asked for, beside openid",
		Unit: `a list of words, such as ["email", "groups"]`,
		at:   func(v *Settings) any { return &v.Scopes }},
	{Name: "oidc-name", About: "claim of the ID token that names a person in the record of changes; email must be " +
		"verified by the provider", Unit: `a claim, such as "email" or "sub"`,
		at: func(v *Settings) any { return &v.PersonClaim }, check: claimName},
	{Name: "oidc-rules", About: "who may do what, each CLAIM=VALUE -> ROLE [SELECTOR] with the role viewer, " +
		"operator or admin; the first that fits counts, whom none fits is refused",
		Unit: `a list of rules, such as ["groups=it -> admin", "groups=teachers -> operator room=210"]`,
		at:   func(v *Settings) any { return &v.PeopleRules }, check: peopleRule},
	{Name: "oidc-lasts", About: "how long such a login lasts, and tokens that are made in it",
		Unit: `a duration in h, m and s, such as "8h"`, at: func(v *Settings) any { return &v.LoginTime }},
	{Name: "debug", About: "log more", Unit: "true or false", global: true,
		at: func(v *Settings) any { return &v.Debug }},
}

// collector allows none too.
func collector(s string) error {
	u, err := url.Parse(s)
	if s != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" ||
		u.User != nil) {
		return errors.New("is no address of a collector such as http://127.0.0.1:4318")
	}
	return nil
}

func hook(s string) error {
	if _, err := hooks.Parse(s); err != nil {
		return fmt.Errorf("is no hook: %w", err)
	}
	return nil
}

func oneOf(all ...string) func(string) error {
	return func(s string) error {
		list := ""
		for i, word := range all {
			if s == word {
				return nil
			}
			if i > 0 {
				list += ", "
			}
			list += word
		}
		return errors.New("is none of " + list)
	}
}

// casts allows no number too.
func casts(s string) error {
	if n, err := strconv.ParseUint(s, 10, 16); s != "" && (err != nil || n == 0) {
		return errors.New("is not a number of sessions from 1 to 65535")
	}
	return nil
}

// anyAddress allows no address, and those of IPv6.
func anyAddress(s string) error {
	if s == "" {
		return nil
	}
	return anyAddressOnly(s)
}

func anyAddressOnly(s string) error {
	if a, err := netip.ParseAddr(s); err != nil || a.Zone() != "" || a.Is4In6() || a.IsLinkLocalUnicast() && a.Is6() {
		return errors.New("is no IP address that machines could ask")
	}
	return nil
}

// address allows no address too.
func address(s string) error {
	if s == "" {
		return nil
	}
	return addressOnly(s)
}

func addressOnly(s string) error {
	if a, err := netip.ParseAddr(s); err != nil || !a.Is4() {
		return errors.New("is not an IPv4 address")
	}
	return nil
}

func hostPort(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return errors.New(`is not HOST:PORT, such as ":8443"`)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return errors.New("has a port that is not a number from 1 to 65535")
	}
	if _, err := netip.ParseAddr(host); host != "" && err != nil {
		return errors.New("has a host that is not an IP address")
	}
	return nil
}

// hostPortOrNone allows no address too.
func hostPortOrNone(s string) error {
	if s == "" {
		return nil
	}
	return hostPort(s)
}

func groups(s string) error {
	p, err := netip.ParsePrefix(s)
	if err != nil || !p.Addr().IsMulticast() || p.Bits() < 9 || p.Addr().Is6() && p.Bits() < 16 {
		return errors.New("is not a multicast prefix such as " + cast.DefaultGroups.String())
	}
	return nil
}

func rate(s string) error {
	if _, err := units.ParseRate(s); err != nil {
		return errors.New(`is not a rate in bits a second, such as "900M"`)
	}
	return nil
}
