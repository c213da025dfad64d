// Modprobe loads and removes kernel modules, by name or by alias.
//
// Synopsis:
//
//	modprobe [-q] [-n] [-v] MODULE|ALIAS [NAME=VALUE]...
//	modprobe [-q] [-n] [-v] -a MODULE|ALIAS...
//	modprobe -r MODULE...
//
// Description:
//
//	Loads the module, and before it the modules that it needs. An alias, as fs-ext4 or a device's modalias, stands for
//	all modules that claim it. The kernel itself runs this program, as /sbin/modprobe, when it lacks a file system, a
//	protocol or a checksum. Parameters come from the command line and, as MODULE.NAME=VALUE, from the kernel's.
//
// Options:
//
//	-q  an unknown name is no error
//	-n  load nothing
//	-v  say what is loaded
//	-a  all words are modules
//	-r  remove
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/diskcast/diskcast/internal/kmod"
	"github.com/u-root/u-root/pkg/cmdline"
	"golang.org/x/sys/unix"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "modprobe:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout io.Writer) error {
	f := flag.NewFlagSet("modprobe", flag.ContinueOnError)
	quiet := f.Bool("q", false, "an unknown name is no error")
	dry := f.Bool("n", false, "load nothing")
	verbose := f.Bool("v", false, "say what is loaded")
	all := f.Bool("a", false, "all words are modules")
	remove := f.Bool("r", false, "remove")
	if err := f.Parse(args); err != nil {
		return err
	}
	names := f.Args()
	if len(names) == 0 {
		return errors.New("which module? modprobe MODULE|ALIAS")
	}
	if *remove {
		return removeAll(names)
	}
	params := func(module string) string { return cmdline.FlagsForModule(module) }
	if !*all {
		own := strings.Join(names[1:], " ")
		named := kmod.Name(names[0])
		names = names[:1]
		params = func(module string) string {
			if module == named {
				return strings.TrimSpace(cmdline.FlagsForModule(module) + " " + own)
			}
			return cmdline.FlagsForModule(module)
		}
	}
	dir, err := kmod.SystemDir()
	if err != nil {
		return err
	}
	index, err := kmod.Load(os.DirFS(dir))
	if err != nil {
		return fmt.Errorf("modules of the running kernel: %w", err)
	}
	l := &kmod.Loader{Index: index, Dir: os.DirFS(dir), Kernel: kernel{dry: *dry, verbose: *verbose, out: stdout},
		Params: params}
	return load(l, names, *quiet)
}

func load(l *kmod.Loader, names []string, quiet bool) error {
	var errs []error
	for _, name := range names {
		if len(l.Index.Resolve(name)) == 0 && !l.Index.Builtin(name) && !quiet {
			errs = append(errs, fmt.Errorf("%s: no module of this name or alias in the archive; mkimage --modules "+
				"can add it", name))
			continue
		}
		if _, err := l.Load(name); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func removeAll(names []string) error {
	var errs []error
	for _, name := range names {
		if err := unix.DeleteModule(kmod.Name(name), unix.O_NONBLOCK); err != nil {
			errs = append(errs, fmt.Errorf("remove %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}
