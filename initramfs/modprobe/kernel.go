package main

import (
	"fmt"
	"io"
	"io/fs"

	"github.com/diskcast/diskcast/internal/kmod"
)

// kernel is the running kernel, with the options -n and -v.
type kernel struct {
	kmod.System
	dry, verbose bool
	out          io.Writer
}

func (k kernel) Init(file fs.File, params string) error {
	if k.verbose || k.dry {
		st, err := file.Stat()
		if err != nil {
			return err
		}
		fmt.Fprintln(k.out, "insmod", st.Name(), params)
	}
	if k.dry {
		return nil
	}
	return k.System.Init(file, params)
}
