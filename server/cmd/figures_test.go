package cmd

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestFiguresNameCommands: what alerts, the dashboard and docs/figures.md tell people to type is a command.
func TestFiguresNameCommands(t *testing.T) {
	line := regexp.MustCompile("`(diskcast [^`]+)`")
	for _, name := range []string{"figures.md", "figures/alerts.yml", "figures/dashboard.json"} {
		b, err := os.ReadFile(filepath.Join("../../docs", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range line.FindAllStringSubmatch(string(b), -1) {
			for _, args := range commandsOf(found[1]) {
				if _, _, err := Tree().Find(args); err != nil {
					t.Errorf("%s: %q: %v", name, found[1], err)
				}
			}
		}
	}
}
