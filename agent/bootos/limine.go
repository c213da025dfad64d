package bootos

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"golang.org/x/crypto/blake2b"

	"github.com/diskcast/diskcast/agent/bootos/grub"
	"github.com/diskcast/diskcast/agent/bootos/limine"
)

// limineVariables are those of the Boot Loader Interface that say what is started, or whether it is waited for.
var limineVariables = []string{"LoaderEntryOneShot", "LoaderEntryDefault", "LoaderEntryPreferred",
	"LoaderConfigTimeoutOneShot", "LoaderConfigTimeout"}

// limine is what a Limine that was started from a file may start: of several configurations all, as which one counts
// hangs on its version.
func (f *finder) limine(file grub.File, what string) []candidate {
	if f.fw.Variables != nil {
		for _, name := range limineVariables {
			if value := f.fw.Variables.Loader(name); value != "" {
				return []candidate{refused(what, fmt.Errorf("the firmware's variable %s names %q, which its versions "+
					"follow or not", name, value))}
			}
		}
	}
	var out []candidate
	exists := func(name string) bool { return f.v.Exists(file.Device, name, false) }
	for _, name := range limine.Configs(path.Dir(file.Path), exists) {
		at := grub.File{Device: file.Device, Path: name}
		out = append(out, candidate{what: fmt.Sprintf("Limine, %s on %s", name, f.v.at(file.Device)),
			load: func() (*System, error) { return f.fromLimine(at) }})
	}
	if len(out) == 0 {
		return []candidate{refused(what,
			errors.New("its configuration is not on the partition that it is started from"))}
	}
	return out
}

func (f *finder) fromLimine(at grub.File) (*System, error) {
	e, err := limine.Default(f.v, at)
	if err != nil {
		return nil, err
	}
	if !e.Program {
		return &System{Title: e.Title, Kernel: e.Kernel, Initrds: e.Initrds, Args: e.Args}, nil
	}
	prog, r, err := f.v.program(e.Kernel)
	if err != nil {
		return nil, &Restart{Entry: e.Title, Why: err.Error(), Err: err}
	}
	defer r.Close()
	s, err := f.unified(e.Kernel, prog)
	if err != nil {
		return nil, &Restart{Entry: e.Title, Why: err.Error(), Err: err}
	}
	s.Title = e.Title
	return s, nil
}

// Sum returns the BLAKE2b-512 of a file.
func (v *Volumes) Sum(f grub.File) ([]byte, error) {
	p, err := v.Path(f)
	if err != nil {
		return nil, err
	}
	r, err := os.Open(p)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	h, err := blake2b.New512(nil)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(h, io.NewSectionReader(v.budget.readerAt(r), 0, 1<<62)); err != nil {
		return nil, fmt.Errorf("%v: %w", f, err)
	}
	return h.Sum(nil), nil
}
