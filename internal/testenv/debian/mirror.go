// Package debian says where this machine gets Debian's packages from, for tests and benches that make a Debian.
package debian

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"strings"
)

// Public is the mirror of a machine whose package sources name none of Debian's.
const Public = "http://deb.debian.org/debian"

// Mirror is the URL of a package mirror: $DISKCAST_MIRROR, or the one that this machine's own package sources name
// first, or Public.
func Mirror() string {
	if m := os.Getenv("DISKCAST_MIRROR"); m != "" {
		return m
	}
	// Where there is no apt, or it cannot read its sources, there is nothing to learn from it.
	out, _ := exec.Command("apt-get", "indextargets", "--format", "$(ORIGIN) $(CODENAME) $(REPO_URI)",
		"Created-By: Packages").Output()
	return fromTargets(out)
}

// fromTargets takes lines of origin, codename and URL. Security and updates, whose codename has a suffix, are not the
// whole of Debian.
func fromTargets(list []byte) string {
	for s := bufio.NewScanner(bytes.NewReader(list)); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) == 3 && f[0] == "Debian" && !strings.Contains(f[1], "-") {
			return strings.TrimSuffix(f[2], "/")
		}
	}
	return Public
}
