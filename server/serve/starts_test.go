package serve

import "testing"

// TestStarts: the setting keeps every machine's own disk with its firmware, without asking what is known of it.
func TestStarts(t *testing.T) {
	cfg := &Config{FirmwareStarts: true}
	if got := cfg.starts(nil).Of("52:54:00:00:00:01"); got.Firmware == "" || got.File != "" {
		t.Errorf("the firmware is to start it, got %+v", got)
	}
}
