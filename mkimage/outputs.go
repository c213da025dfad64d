package main

import (
	"debug/pe"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/diskcast/diskcast/mkimage/stick"
)

// input is a file or a folder that a flag names, and that is read.
type input struct {
	flag, name string
	lost       bool // no boot directory has it, so that it would be gone with the one that it lies in
}

// inputs are all that the flags name.
func (o *options) inputs() []input {
	var list []input
	for _, x := range []struct {
		flag  string
		names []string
		lost  bool
	}{
		{"--sign", []string{o.media.sign}, true}, {"--cert", []string{o.media.cert}, true},
		{"--stub", []string{o.media.stub}, true}, {"--token-file", []string{o.tokenFile}, true},
		{"--for", o.machines, true}, {"--firmware", o.firmware, true}, {"--modules-from", o.modulesFrom, true},
		{"--isolinux", o.media.isolinux, true}, {"--kernel", []string{o.kernel}, false},
		{"--ipxe", []string{o.ipxe}, false}, {"--ipxe-shim", []string{o.ipxeShim}, false},
		{"--shim", []string{o.shim}, false}, {"--grub", []string{o.grub}, false}, {"--memtest", o.memtest, false},
	} {
		for _, name := range x.names {
			if name != "" && name != noLoaders && !isServer(name) {
				list = append(list, input{x.flag, name, x.lost})
			}
		}
	}
	return list
}

// checkOverwrites refuses outputs that would take a file's place which mkimage did not make.
func (o *options) checkOverwrites() error {
	inputs := o.inputs()
	for _, in := range inputs {
		if o.out != "" && in.lost && holds(o.out, in.name) {
			return fmt.Errorf("%s %s lies in the boot directory %s, which is replaced as a whole: move it elsewhere",
				in.flag, in.name, o.out)
		}
	}
	for _, out := range o.media.outputs() {
		st, err := os.Stat(out.name)
		if err != nil || !st.Mode().IsRegular() {
			continue // it is made, or checkFiles refuses it
		}
		for _, in := range inputs {
			if other, err := os.Stat(in.name); err == nil && os.SameFile(st, other) {
				return fmt.Errorf("%s %s is the file of %s, which would be overwritten: name another", out.flag,
					out.name, in.flag)
			}
		}
		if madeHere(out.name) {
			continue
		}
		for _, in := range inputs {
			if holds(in.name, out.name) {
				return fmt.Errorf("%s %s is a file of %s %s, which would be overwritten: name another", out.flag,
					out.name, in.flag, in.name)
			}
		}
		if st.Size() > 0 {
			return fmt.Errorf("%s %s is there and is no stick, CD or unified kernel image that mkimage made: name "+
				"another file, or remove it", out.flag, out.name)
		}
	}
	return nil
}

// holds tells whether a folder, or one below it, has a file, which need not be there yet.
func holds(dir, name string) bool {
	folder, err := os.Stat(dir)
	if err != nil || !folder.IsDir() {
		return false
	}
	_, held := above(name, func(at string) bool {
		st, err := os.Stat(at)
		return err == nil && os.SameFile(st, folder)
	})
	return held
}

// above finds, of the folders that a file really lies in, the nearest one that is what is looked for. The file need not
// be there yet.
func above(name string, is func(dir string) bool) (dir string, found bool) {
	real, err := filepath.EvalSymlinks(name)
	if errors.Is(err, fs.ErrNotExist) {
		if real, err = filepath.EvalSymlinks(filepath.Dir(name)); err == nil {
			real = filepath.Join(real, filepath.Base(name))
		}
	}
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return "", false
	}
	for at := filepath.Dir(real); ; at = filepath.Dir(at) {
		if is(at) {
			return at, true
		}
		if at == filepath.Dir(at) {
			return "", false
		}
	}
}

// madeHere tells whether a file is a stick, a CD or a unified kernel image that mkimage made.
func madeHere(name string) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	if stick.Made(f) {
		return true
	}
	program, err := pe.NewFile(f)
	if err != nil {
		return false
	}
	release := program.Section(".osrel")
	if release == nil {
		return false
	}
	words := make([]byte, len(releaseID))
	_, err = io.ReadFull(release.Open(), words)
	return err == nil && string(words) == releaseID
}
