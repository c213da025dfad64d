package userland

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// modulesFile lists the Go modules that the userland was compiled from, for `mkimage sbom`. The program is compiled
// from a tree without a go.mod, so that Go's own record in it names none.
const modulesFile = "etc/diskcast/go-modules"

// modules lists the modules of all packages that the commands need, as "PATH VERSION" lines, sorted. Our own has the
// version of the build.
func (s *Source) modules(ctx context.Context, o Options, commands []string) ([]byte, error) {
	const form = `{{with .Module}}{{with .Replace}}{{.Path}} {{.Version}}{{else}}{{.Path}} {{.Version}}{{end}}{{end}}`
	args := append([]string{"list", "-deps", "-tags", strings.Join(buildTags, ","), "-f", form}, commands...)
	cmd := s.command(ctx, args...)
	cmd.Dir = o.Module
	cmd.Env = append(slices.DeleteFunc(cmd.Env, func(kv string) bool { return kv == "GOPATH="+s.dir }),
		"GO111MODULE=on")
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(exit.Stderr))
		}
		return nil, fmt.Errorf("modules of the userland: %w", err)
	}
	var lines []string
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		switch len(words) {
		case 0: // of the standard library
			continue
		case 1: // ours
			words = append(words, o.Version)
		}
		lines = append(lines, strings.Join(words, " ")+"\n")
	}
	slices.Sort(lines)
	return []byte(strings.Join(slices.Compact(lines), "")), nil
}
