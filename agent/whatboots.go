package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/diskcast/diskcast/agent/bootos"
)

// whatBoots says for each kind of firmware what a machine would start from the disk or file.
func whatBoots(ctx context.Context, path, passphrase string, log *slog.Logger, w io.Writer) error {
	var failed []error
	for _, firmware := range []string{"UEFI", "BIOS"} {
		s, err := bootos.LookWith(ctx, path, firmware == "UEFI", passphrase, log)
		var restart *bootos.Restart
		switch {
		case err == nil:
			fmt.Fprintf(w, "%s: %q, from %s\n  kernel: %v\n", firmware, s.Title, s.Source, s.Kernel)
			for _, i := range s.Initrds {
				fmt.Fprintf(w, "  initrd: %v\n", i)
			}
			fmt.Fprintf(w, "  command line: %s\n", s.Args)
			if s.Opened != "" {
				fmt.Fprintf(w, "  passphrase: %s\n", s.Opened)
			}
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

// firstLine is that of a file, without its end; empty for no file.
func firstLine(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	if line = strings.TrimSuffix(line, "\r"); line == "" {
		return "", fmt.Errorf("%s: its first line is empty, and should be a passphrase", name)
	}
	return line, nil
}
