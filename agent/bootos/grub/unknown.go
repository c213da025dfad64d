package grub

import (
	"path"
	"strings"
)

// clockNames are the variables that GRUB's module datehook keeps, whatever a configuration sets them to.
var clockNames = map[string]bool{
	"YEAR": true, "MONTH": true, "DAY": true, "HOUR": true, "MINUTE": true, "SECOND": true, "WEEKDAY": true,
}

// onlyGRUBSets are other variables that GRUB may give values of the machine, its firmware or the network, and how names
// of such begin.
var (
	onlyGRUBSets = map[string]bool{"lockdown": true, "shim_lock": true, "biosnum": true, "fw_path": true,
		"secureboot": true, "bootp": true}
	onlyGRUBPrefixes = []string{"net_", "pxe_", "efi", "smbios", "tpm"}
)

// onlyGRUBKnows tells whether the value of a variable is one that cannot be known here.
func (s *shell) onlyGRUBKnows(name string, set bool) bool {
	if clockNames[name] {
		return s.clock || !set
	}
	if set || onlyGRUBSets[name] {
		return !set
	}
	for _, p := range onlyGRUBPrefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// known is a restart when something was read since the last call that cannot be gone by.
func (s *shell) known() error {
	why := s.unknown
	if s.unknown = ""; why == "" {
		return nil
	}
	return &Restart{Why: why}
}

// insmod loads nothing. The module datehook makes the clock's variables.
func insmod(s *shell, args []string) (int, error) {
	for _, a := range args {
		s.clock = s.clock || strings.TrimSuffix(path.Base(a), ".mod") == "datehook"
	}
	return unsure("insmod")(s, args)
}

// unsure makes a command that does nothing here, and of whose status only GRUB knows: of the screen, of ports, of
// modules.
func unsure(name string) func(*shell, []string) (int, error) {
	return func(s *shell, args []string) (int, error) {
		return s.ask(question{what: "whether " + strings.Join(append([]string{name}, args...), " ") + " succeeds",
			failed: statusFalse})
	}
}
