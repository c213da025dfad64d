package debian

import "testing"

func TestFromTargets(t *testing.T) {
	for name, c := range map[string]struct{ list, want string }{
		"a site's own mirror": {"Debian bookworm-security http://apt.lab/debian-security/\nDebian bookworm " +
			"http://apt.lab/debian/\n", "http://apt.lab/debian"},
		"Ubuntu": {"Ubuntu noble http://archive.ubuntu.com/ubuntu/\n", Public},
		"another vendor": {". nodistro https://deb.nodesource.com/node_20.x/\nDebian trixie https://m/debian/\n",
			"https://m/debian"},
		"no apt": {"", Public},
	} {
		t.Run(name, func(t *testing.T) {
			if got := fromTargets([]byte(c.list)); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestMirror(t *testing.T) {
	t.Setenv("DISKCAST_MIRROR", "http://site/debian")
	if got := Mirror(); got != "http://site/debian" {
		t.Errorf("%q, although $DISKCAST_MIRROR says another", got)
	}
}
