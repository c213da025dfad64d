package personalize

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/personal"
	"github.com/diskcast/diskcast/internal/testenv/need"
)

const nicMAC = "52:54:00:12:34:56"

var static = []personal.NIC{{MAC: nicMAC, Addresses: []string{"10.0.0.5/24", "2001:db8::5/64"},
	Gateways: []string{"10.0.0.1", "fe80::1"}, DNS: []string{"10.0.0.53"}, Search: []string{"lab.example"}}}

// wants links a unit so that it starts by itself.
func wants(units ...string) map[string]string {
	out := map[string]string{}
	for _, u := range units {
		out["etc/systemd/system/multi-user.target.wants/"+u+".service"] = "-> /usr/lib/systemd/system/" + u + ".service"
	}
	return out
}

// debianIfup is Debian's own program, as it tells of itself what it can do.
func debianIfup(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(need.Tool(t, "ifup"))
	must(t, err)
	return string(b)
}

// inTree makes the tree of a system in a folder.
func inTree(t *testing.T, files map[string]string) (*tree, string) {
	t.Helper()
	need.Root(t)
	dir := t.TempDir()
	(&system{files: common(files)}).put(t, dir)
	tr, err := openTree(dir, nil)
	must(t, err)
	t.Cleanup(func() { must(t, tr.close()) })
	return tr, dir
}

const (
	onEN   = "auto lo\niface lo inet loopback\nallow-hotplug ens3\niface ens3 inet dhcp\n"
	onlyLo = "source /etc/network/interfaces.d/*\nauto lo\niface lo inet loopback\n"
)

// TestNetworkChosen tells the programs apart by what is enabled, and refuses what cannot be done before it is begun.
func TestNetworkChosen(t *testing.T) {
	generator := map[string]string{"usr/lib/systemd/system-generators/netplan": "x"}
	plan := with(generator, map[string]string{"etc/netplan/50.yaml": "network:\n  version: 2\n  ethernets:\n    e:\n" +
		"      renderer: NetworkManager\n"})
	resolved := wants("systemd-resolved")
	dhcp := []personal.NIC{{MAC: nicMAC, DHCP: "yes", DNS: []string{"10.0.0.53"}}}
	for _, tt := range []struct {
		name  string
		files map[string]string
		nics  []personal.NIC
		with  string
		want  string // program, or the refusal
	}{
		{name: "networkd", files: with(wants("systemd-networkd"), resolved), want: "networkd"},
		{name: "networkd without resolved", files: wants("systemd-networkd"), want: "networkd"},
		{name: "networkd without resolved, DHCP", files: wants("systemd-networkd"), nics: dhcp, want: "beside DHCP"},
		{name: "an earlier file", files: with(wants("systemd-networkd"), map[string]string{
			"etc/systemd/network/+a.network": "x"}), want: "+a.network of the image comes before"},
		{name: "installed only", files: map[string]string{"usr/lib/systemd/system/systemd-networkd.service": "x"},
			want: "nothing enabled"},
		{name: "masked", files: with(wants("NetworkManager"), map[string]string{
			"etc/systemd/system/NetworkManager.service": "-> /dev/null"}), want: "nothing enabled"},
		{name: "netplan", files: with(plan, with(resolved, wants("systemd-networkd"))), want: "netplan"},
		{name: "netplan without a file", files: with(generator, resolved), want: "netplan"},
		{name: "netplan without a file, NetworkManager", files: with(generator, wants("NetworkManager")),
			want: "NetworkManager"},
		{name: "netplan by NetworkManager", files: with(plan, with(wants("NetworkManager"), map[string]string{
			"etc/netplan/60.yaml": "# x\nnetwork:\n  version: 2\n  renderer: NetworkManager\n"})), want: "netplan"},
		{name: "netplan, the renderer of the last name", files: with(generator, with(wants("NetworkManager"),
			map[string]string{"usr/lib/netplan/60.yaml": "network:\n  renderer: NetworkManager\n",
				"usr/lib/netplan/70.yaml": "network:\n  renderer: networkd\n", "etc/netplan/70.yaml": "network:\n",
				"etc/netplan/50.yaml": "network:\n  renderer: networkd\n"})),
			want: "by netplan, in /etc/NetworkManager/"},
		{name: "NetworkManager, ifupdown with lo", files: with(wants("NetworkManager", "networking"),
			map[string]string{"etc/network/interfaces": onlyLo}), want: "NetworkManager"},
		{name: "two at once", files: with(wants("NetworkManager", "networking"), map[string]string{
			"etc/network/interfaces": onlyLo, "etc/network/interfaces.d/ens": onEN}),
			want: "NetworkManager and ifupdown enabled at once"},
		{name: "two at once, one named", with: "NetworkManager", files: with(wants("NetworkManager", "networking"),
			map[string]string{"etc/network/interfaces": onEN}), want: "NetworkManager"},
		{name: "one named that is not there", with: "netplan", files: wants("NetworkManager"),
			want: "does not have enabled (it has: NetworkManager)"},
		{name: "ifupdown", files: with(wants("networking"), map[string]string{"etc/network/interfaces": onlyLo,
			"sbin/ifup": debianIfup(t)}), want: "ifupdown"},
		{name: "OpenRC", files: map[string]string{"etc/runlevels/boot/networking": "x",
			"etc/network/interfaces": onEN}, want: "ifupdown"},
		{name: "names only, two", files: map[string]string{"etc/runlevels/boot/networking": "x",
			"etc/network/interfaces": onEN}, nics: []personal.NIC{static[0], dhcp[0]}, want: "by their names only"},
		{name: "nobody writes resolv.conf", files: with(wants("networking"), map[string]string{
			"etc/resolv.conf": "-> /run/x", "etc/network/interfaces": onEN}), want: "would be nowhere"},
		{name: "NetworkManager without IPv4, a DNS server of it", files: wants("NetworkManager"),
			nics: []personal.NIC{{MAC: nicMAC, DHCP: "ipv6", DNS: []string{"10.0.0.53"}}},
			want: "has the DNS server 10.0.0.53 and no IPv4"},
		{name: "wicked", files: wants("wicked"), want: "wicked, which this agent does not write for"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr, dir := inTree(t, tt.files)
			if tt.nics == nil {
				tt.nics = static
			}
			x := network(tt.nics, tt.with)
			err := x.may(tr)
			said := ""
			if err == nil {
				said, err = x.do(tr)
			}
			if err != nil {
				said = err.Error()
				for _, in := range []string{"network", "netplan", "systemd/network", "NetworkManager/*"} {
					if found, _ := filepath.Glob(filepath.Join(dir, "etc", in, "*diskcast*")); found != nil {
						t.Errorf("refused, and %v written", found)
					}
				}
			} else if !strings.Contains(tt.want, " ") {
				tt.want = "by " + tt.want + ", in"
			}
			if !strings.Contains(said, tt.want) {
				t.Errorf("%s, want %q", said, tt.want)
			}
		})
	}
}

// TestDNSKept has the DNS servers where something reads them: Debian's ifupdown has a hook for systemd-resolved whether
// that is there or not.
func TestDNSKept(t *testing.T) {
	hook := map[string]string{"etc/network/interfaces": onlyLo, "sbin/ifup": debianIfup(t),
		"etc/network/if-up.d/resolved": "x"}
	for _, tt := range []struct {
		name  string
		files map[string]string
		in    string
	}{
		{"nothing", nil, "etc/resolv.conf"},
		{"resolved", wants("systemd-resolved"), "etc/network/interfaces"},
		{"resolvconf", map[string]string{"sbin/resolvconf": "x"}, "etc/network/interfaces"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr, dir := inTree(t, with(with(hook, wants("networking")), tt.files))
			x := network(static, "")
			must(t, x.may(tr))
			_, err := x.do(tr)
			must(t, err)
			for _, file := range []string{"etc/resolv.conf", "etc/network/interfaces"} {
				text, err := os.ReadFile(filepath.Join(dir, file))
				if err != nil && !os.IsNotExist(err) {
					t.Fatal(err)
				}
				if has := strings.Contains(string(text), "10.0.0.53"); has != (file == tt.in) {
					t.Errorf("the DNS server is in %s: %v, want it in %s", file, has, tt.in)
				}
			}
		})
	}
}

// TestWaitsForNICs: interfaces named by their MAC addresses are brought up when udev has found them; Debian's own wait
// is for names alone.
func TestWaitsForNICs(t *testing.T) {
	for byMAC, ifup := range map[bool]string{true: debianIfup(t), false: "an ifup without patterns"} {
		tr, dir := inTree(t, with(wants("networking"), map[string]string{"etc/network/interfaces": onEN,
			"sbin/ifup": ifup}))
		x := network(static, "")
		must(t, x.may(tr))
		_, err := x.do(tr)
		must(t, err)
		text, err := os.ReadFile(filepath.Join(dir, settleFile))
		if byMAC && (err != nil || !strings.Contains(string(text), "After=systemd-udev-settle.service")) ||
			!byMAC && !os.IsNotExist(err) {
			t.Errorf("by MAC address %v: %q, %v", byMAC, text, err)
		}
	}
}

// TestNetworkJudged has systemd-networkd and Debian's ifup configure an interface by what was written.
func TestNetworkJudged(t *testing.T) {
	need.Root(t)
	need.Tools(t, "unshare", "ip", "ifup")
	networkd, err := filepath.EvalSymlinks("/usr/lib/systemd/systemd-networkd")
	if err != nil {
		networkd, err = filepath.EvalSymlinks("/lib/systemd/systemd-networkd")
	}
	if err != nil {
		need.Skip(t, "no systemd-networkd: see .ci/packages")
	}
	for _, tt := range []struct {
		name  string
		files map[string]string
		run   string // in a network of its own, with the system's /etc as $etc
	}{
		{"networkd", with(wants("systemd-networkd"), wants("systemd-resolved")),
			"mkdir -p /run/systemd/network; cp $etc/systemd/network/*.network /run/systemd/network/; " +
				networkd + " >/dev/null 2>&1 & "},
		{"ifupdown", with(wants("networking"), map[string]string{"etc/network/interfaces": onEN,
			"sbin/ifup": debianIfup(t)}),
			"mkdir -p /run/network; ifup -a -i $etc/network/interfaces >/dev/null 2>&1; "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr, dir := inTree(t, tt.files)
			x := network(static, "")
			must(t, x.may(tr))
			_, err := x.do(tr)
			must(t, err)
			// ip monitor says when an address is there; ip itself is asked then.
			script := "set -e; mount -t tmpfs tmpfs /run; mount -t sysfs -o ro sysfs /sys; etc=" + dir + "/etc; " +
				"ip link add nic7 address " + nicMAC + " type veth peer name peer; " +
				"ip link add other address 52:54:00:00:00:01 type veth peer name peer2; ip link set peer up; " +
				tt.run + "n=0; until ip -6 route show default | grep -q . && ip -4 route show default | grep -q .; " +
				"do n=$((n+1)); [ $n -lt 200 ]; sleep 0.05; done; " +
				"ip -o addr show nic7; ip -o addr show other; ip route show default; ip -6 route show default"
			cmd := exec.CommandContext(t.Context(), need.Tool(t, "unshare"), "-n", "-m", "-p", "-f", "--mount-proc",
				"--kill-child", "sh", "-c", script)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			for _, want := range []string{"nic7    inet 10.0.0.5/24", "nic7    inet6 2001:db8::5/64",
				"default via 10.0.0.1 dev nic7", "default via fe80::1 dev nic7"} {
				if !strings.Contains(string(out), want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
			if strings.Contains(string(out), "other    inet ") {
				t.Errorf("another interface was configured:\n%s", out)
			}
		})
	}
}

// TestNetworkTexts holds what is written against what netplan 0.106, NetworkManager 1.42 (nmcli --offline) and Alpine
// were seen to take.
func TestNetworkTexts(t *testing.T) {
	both := personal.NIC{MAC: nicMAC, DHCP: "ipv4", Addresses: []string{"2001:db8::5/64", "2001:db8::6/64"},
		Gateways: []string{"fe80::1"}}
	for _, tt := range []struct{ name, got, want string }{
		{"netplan", netplanText(static),
			"# Written when this machine was imaged.\nnetwork:\n  version: 2\n  ethernets:\n" +
				"    0-diskcast-525400123456:\n      renderer: networkd\n      match: {macaddress: " +
				"\"52:54:00:12:34:56\"}\n" +
				"      dhcp4: false\n      dhcp6: false\n      addresses: [\"10.0.0.5/24\", \"2001:db8::5/64\"]\n" +
				"      routes:\n        - {to: \"0.0.0.0/0\", via: \"10.0.0.1\"}\n        - {to: \"::/0\", via: " +
				"\"fe80::1\"}\n" +
				"      nameservers:\n        addresses: [\"10.0.0.53\"]\n        search: [\"lab.example\"]\n"},
		{"NetworkManager", keyfile(&both), "# Written when this machine was imaged.\n[connection]\nid=diskcast " +
			nicMAC +
			"\nuuid=" + uuidOf(nicMAC) + "\ntype=ethernet\nautoconnect-priority=999\n\n[ethernet]\nmac-address=" +
			nicMAC +
			"\n\n[ipv4]\nmethod=auto\n\n[ipv6]\nmethod=manual\naddress1=2001:db8::5/64,fe80::1\n" +
			"address2=2001:db8::6/64\n"},
		{"Alpine", interfacesText(static, []string{"eth0"}, false, false), "# Written when this machine was imaged.\n" +
			"auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet static\n" +
			"    pre-up grep -qix 52:54:00:12:34:56 /sys/class/net/eth0/address\n    address 10.0.0.5/24\n" +
			"    gateway 10.0.0.1\niface eth0 inet6 static\n" +
			"    pre-up grep -qix 52:54:00:12:34:56 /sys/class/net/eth0/address\n    address 2001:db8::5/64\n" +
			"    gateway fe80::1\n"},
		{"renderer in braces", fmt.Sprint(globalRenderer("network: {version: 2, renderer: NetworkManager}\n")),
			"NetworkManager"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.name, tt.got, tt.want)
		}
	}
}

// TestManyServers says which of the servers in resolv.conf nobody asks.
func TestManyServers(t *testing.T) {
	for servers, want := range map[string]string{"10.0.0.1 10.0.0.2 10.0.0.3": "",
		"10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4": "4 DNS servers, and the C library asks the first 3 only " +
			"(10.0.0.1, 10.0.0.2, 10.0.0.3)"} {
		n := &netting{nics: []personal.NIC{{DNS: strings.Fields(servers)}}}
		dir := t.TempDir()
		tr, err := openTree(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.staticDNS(tr); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(n.notes, " "); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: it says %q, want %q", servers, got, want)
		}
	}
}

// TestServers has two interfaces with the same servers: the third of resolv.conf(5) is not one that was there before.
func TestServers(t *testing.T) {
	n := &netting{nics: []personal.NIC{{DNS: []string{"10.0.0.1", "10.0.0.2"}, Search: []string{"a", "b"}},
		{DNS: []string{"10.0.0.1", "10.0.0.3"}, Search: []string{"a", "b"}}}}
	dns, search, asks := n.servers()
	if !slices.Equal(dns, []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"}) || !slices.Equal(search, []string{"a", "b"}) ||
		asks {
		t.Errorf("%q, %q, %t", dns, search, asks)
	}
}

// FuzzNetworkFiles reads what an image may have in its files.
func FuzzNetworkFiles(f *testing.F) {
	f.Add(onEN)
	f.Add("network: {version: 2, renderer: NetworkManager}\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, name := range ifaces(text) {
			if name == "lo" || strings.ContainsAny(name, " \n") {
				t.Fatalf("%q", name)
			}
		}
		if r := globalRenderer(text); strings.ContainsAny(r, " \n\"'") {
			t.Fatalf("%q", r)
		}
	})
}
