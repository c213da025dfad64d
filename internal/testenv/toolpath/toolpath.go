// Package toolpath finds programs, also those in the system's own directories, which the PATH of an ordinary user
// lacks.
package toolpath

import (
	"os/exec"
	"path/filepath"
	"strings"
)

// Find returns where a program is. A name with a slash is a path.
func Find(name string) (path string, ok bool) {
	if p, err := exec.LookPath(name); err == nil {
		return p, true
	}
	if strings.Contains(name, "/") {
		return "", false
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return p, true
		}
	}
	return "", false
}
