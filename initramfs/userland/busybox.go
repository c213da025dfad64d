package userland

import (
	"context"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"log"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/u-root/gobusybox/src/pkg/bb"
	"github.com/u-root/gobusybox/src/pkg/bb/findpkg"
	"github.com/u-root/gobusybox/src/pkg/golang"
)

// buildTags choose between variants of u-root's commands. goshliner: the shell edits its line with a small library that
// needs no terminal description, which a serial console does not have; u-root's default brings a whole text interface.
var buildTags = []string{"goshliner"}

// Commands reads the import paths of the commands from the file that lists them.
func Commands(file string) ([]string, error) {
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		return nil, fmt.Errorf("list of commands: %w", err)
	}
	var commands []string
	for _, i := range f.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return nil, fmt.Errorf("list of commands: %w", err)
		}
		// The list also imports the builder, so that go.mod keeps it.
		if !strings.Contains(p, "/gobusybox/") {
			commands = append(commands, p)
		}
	}
	slices.SortFunc(commands, func(a, b string) int { return strings.Compare(path.Base(a), path.Base(b)) })
	return commands, nil
}

// Source is the generated source of the one binary.
type Source struct {
	dir string // GOPATH
	env *golang.Environ
	log io.Writer
}

// Generate rewrites the commands into packages of one program in dir, which must not exist or be empty.
func Generate(o Options, dir string, commands []string) (*Source, error) {
	goroot, err := toolchain(o.Module)
	if err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	env := golang.Default(golang.DisableCGO(), golang.WithGOOS("linux"), golang.WithGOARCH(o.Arch),
		golang.WithGOROOT(goroot),
		golang.WithBuildTag(buildTags...), golang.WithWorkingDir(o.Module), golang.WithGO111MODULE("on"))
	err = bb.BuildBusybox(log.New(o.Log, "", 0), &bb.Opts{
		Env: env, LookupEnv: &findpkg.Env{}, GenSrcDir: dir, CommandPaths: commands, GenerateOnly: true,
	})
	if err != nil {
		return nil, fmt.Errorf("rewrite the commands into one program: %w", err)
	}
	s := &Source{dir: dir, env: env, log: o.Log}
	return s, s.setDefaults()
}

// main is the package of the program inside the generated tree.
func (s *Source) main() string { return filepath.Join(s.dir, "src", "bb.u-root.com", "bb") }

// setDefaults gives the program the run-time behaviour of the toolchain that compiles it. The tree has no go.mod, and
// Go would run a program without one as it did in Go 1.16: among other things with the same random numbers on every
// node.
func (s *Source) setDefaults() error {
	version, _, _ := strings.Cut(runtime.Version(), "-")
	if !strings.HasPrefix(version, "go1.") {
		return fmt.Errorf("toolchain %q has no version: build with a released Go", runtime.Version())
	}
	minor := strings.Join(strings.SplitN(version, ".", 3)[:2], ".")
	text := fmt.Sprintf("//go:debug default=%s\npackage main\n", minor)
	return os.WriteFile(filepath.Join(s.main(), "godebug.go"), []byte(text), 0o644)
}

// Strip says whether the binary keeps its symbols.
type Strip string

// Stripped is the binary that nodes run, with the symbols removed.
const (
	Stripped Strip = "-s -w -buildid="
	Symbols  Strip = "-w -buildid="
)

// Compile compiles the program. Everything that could make two builds differ is switched off or fixed: paths, build
// ids, version control stamps, flags from the environment, the processor level.
func (s *Source) Compile(ctx context.Context, out string, strip Strip) error {
	cmd := s.command(ctx, "build", "-trimpath", "-buildvcs=false", "-tags", strings.Join(buildTags, ","), "-ldflags",
		string(strip), "-o", out, ".")
	cmd.Stdout, cmd.Stderr = s.log, s.log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("compile the userland: %w", err)
	}
	return nil
}

// command is a run of the Go tool on the generated program.
func (s *Source) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.env.GOROOT, "bin", "go"), args...)
	cmd.Dir = s.main()
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.Contains([]string{"GOEXPERIMENT", "GODEBUG", "GOFIPS140"}, name)
	}), "GO111MODULE=off", "GOPATH="+s.dir, "GOROOT="+s.env.GOROOT, "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+
		s.env.GOARCH,
		"GOAMD64=v1", "GOARM64=v8.0", "GOTOOLCHAIN=local", "GOFLAGS=", "GOWORK=off")
	return cmd
}

// toolchain finds the Go that the module asks for. It is not always the one in PATH: an older `go` fetches it.
func toolchain(module string) (string, error) {
	cmd := exec.Command("go", "env", "GOROOT")
	cmd.Dir = module
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
		}
		return "", fmt.Errorf("go env GOROOT in %s: %w", module, err)
	}
	return strings.TrimSpace(string(out)), nil
}
