package kmod

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
)

// Kernel takes modules in. It is what a Loader needs of the operating system; [System] is the real one.
type Kernel interface {
	// Init puts the module in the file into the kernel and returns when it has started, which includes the probing of
	// the devices that it drives. A module that is there already is no error.
	Init(file fs.File, params string) error
}

// Loader loads modules with what they need. Its methods may be called from several goroutines.
type Loader struct {
	Index  *Index
	Dir    fs.FS // the folder of the kernel release
	Kernel Kernel
	Params func(module string) string // parameters for a module, "a=1 b=2"; nil: none
	Skip   func(*Module) bool         // modules that are not loaded for an alias, only by name; nil: none
	Log    *slog.Logger               // nil discards

	mu    sync.Mutex
	tries map[string]*try
}

// try is the one attempt at loading a module.
type try struct {
	done chan struct{} // closed when err is set
	err  error
}

// Load loads what a name or an alias stands for and returns how many modules were new to the kernel. An alias that
// nothing answers to is no error: most devices of a machine have no driver in the archive. Of several modules for an
// alias, each is tried.
func (l *Loader) Load(name string) (int, error) {
	var errs []error
	loaded := 0
	found := l.Index.Resolve(name)
	for _, m := range found {
		if l.Skip != nil && m.Name != Name(name) && l.Skip(m) {
			continue
		}
		n, err := l.loadAll(m)
		loaded += n
		if err != nil {
			errs = append(errs, err)
		}
	}
	return loaded, errors.Join(errs...)
}

func (l *Loader) loadAll(m *Module) (int, error) {
	order, err := l.Index.Order(m.Name, true)
	if err != nil {
		return 0, err
	}
	hard, err := l.Index.Order(m.Name, false)
	if err != nil {
		return 0, err
	}
	must := map[*Module]bool{}
	for _, h := range hard {
		must[h] = true
	}
	loaded := 0
	for _, next := range order {
		isNew, err := l.loadOne(next)
		if isNew {
			loaded++
		}
		if err != nil && must[next] {
			return loaded, err
		}
	}
	return loaded, nil
}

// loadOne loads a module whose dependencies are there. Each is tried once; who comes second waits for the first.
func (l *Loader) loadOne(m *Module) (isNew bool, err error) {
	l.mu.Lock()
	if t, ok := l.tries[m.Name]; ok {
		l.mu.Unlock()
		<-t.done
		return false, t.err
	}
	if l.tries == nil {
		l.tries = map[string]*try{}
	}
	t := &try{done: make(chan struct{})}
	l.tries[m.Name] = t
	l.mu.Unlock()
	defer close(t.done)
	t.err = l.init(m)
	if l.Log != nil {
		l.Log.Debug("module", "name", m.Name, "err", t.err)
	}
	return t.err == nil, t.err
}

func (l *Loader) init(m *Module) error {
	f, err := l.Dir.Open(m.Path)
	if err != nil {
		return fmt.Errorf("module %s: %w", m.Name, err)
	}
	defer f.Close()
	params := ""
	if l.Params != nil {
		params = l.Params(m.Name)
	}
	if err := l.Kernel.Init(f, params); err != nil {
		return fmt.Errorf("module %s: %w", m.Name, err)
	}
	return nil
}
