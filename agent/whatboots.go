package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/diskcast/diskcast/agent/bootos"
)

// whatBoots says for each kind of firmware what a machine would start from the disk or file.
func whatBoots(path string, log *slog.Logger, w io.Writer) error {
	var failed []error
	for _, firmware := range []string{"UEFI", "BIOS"} {
		s, err := bootos.Look(path, firmware == "UEFI", log)
		var restart *bootos.Restart
		switch {
		case err == nil:
			fmt.Fprintf(w, "%s: %q, from %s\n  kernel: %v\n", firmware, s.Title, s.Source, s.Kernel)
			for _, i := range s.Initrds {
				fmt.Fprintf(w, "  initrd: %v\n", i)
			}
			fmt.Fprintf(w, "  command line: %s\n", s.Args)
			if s.Note != "" {
				fmt.Fprintf(w, "  note: %s\n", s.Note)
			}
		case errors.As(err, &restart):
			fmt.Fprintf(w, "%s: restart through the firmware: %v\n", firmware, err)
		case errors.Is(err, bootos.ErrNoSystem):
			fmt.Fprintf(w, "%s: nothing: %v\n", firmware, err)
		default:
			failed = append(failed, fmt.Errorf("%s: %w", firmware, err))
		}
	}
	return errors.Join(failed...)
}
