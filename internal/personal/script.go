package personal

import (
	"fmt"
	"path"
	"strings"
	"time"
)

// Limits of a script's time.
const (
	DefaultScriptTime = 5 * time.Minute
	MaxScriptTime     = time.Hour
)

// Script is run by the node in the restored system. Its text is a template, and secret.
type Script struct {
	Run     string `json:"run" toml:"run"`
	Timeout string `json:"timeout,omitempty" toml:"timeout"` // 90s, 10m; empty: five minutes
}

// Time is how long it may take.
func (s *Script) Time() (time.Duration, error) {
	if s.Timeout == "" {
		return DefaultScriptTime, nil
	}
	d, err := time.ParseDuration(s.Timeout)
	if err != nil || d < time.Second || d > MaxScriptTime {
		return 0, fmt.Errorf("script: timeout %.40q is none from 1s to %s, such as 90s or 10m", s.Timeout,
			MaxScriptTime)
	}
	return d, nil
}

// Interpreter is the program that runs it: what its first line names, or /bin/sh.
func (s *Script) Interpreter() string {
	first, _, _ := strings.Cut(s.Run, "\n")
	if rest, ok := strings.CutPrefix(first, "#!"); ok {
		if w := strings.Fields(rest); len(w) > 0 {
			return w[0]
		}
	}
	return "/bin/sh"
}

func (s *Script) check() error {
	if s == nil {
		return nil
	}
	switch {
	case strings.TrimSpace(s.Run) == "":
		return fmt.Errorf("script: run is empty")
	case s.Run == Sealed:
		return fmt.Errorf("script: %s stands where something secret was: give that itself", Sealed)
	case len(s.Run) > MaxFile:
		return fmt.Errorf("script: it has %d bytes, at most %d are taken", len(s.Run), MaxFile)
	case !path.IsAbs(s.Interpreter()):
		return fmt.Errorf("script: its first line names %.60q, which is not a path from the root", s.Interpreter())
	case strings.Contains(strings.SplitN(s.Run, "\n", 2)[0], "\r"):
		return fmt.Errorf("script: its lines end in CR LF, which no interpreter takes: make them end in LF")
	}
	_, err := s.Time()
	return err
}
