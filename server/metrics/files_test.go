package metrics

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
)

// TestFiles holds what docs/figures.md, the alerts and the dashboard name against the figures of a server, both ways.
func TestFiles(t *testing.T) {
	f := &fake{}
	s := New(Sources{Figures: f.Figures, DHCP: func() doc.DHCP { return doc.DHCP{} },
		Room:   func() (uint64, uint64, error) { return 5, 9, nil },
		Words:  func() []doc.NotifyReceiver { return []doc.NotifyReceiver{{}} },
		Jobs:   func() []doc.Job { return []doc.Job{{State: doc.Running}} },
		Record: func() (int, int) { return 1, 2 }, Power: func() (uint64, uint64) { return 7, 1 }})
	f.figures = engine.Figures{Sessions: []engine.SessionFigures{going("s1", 1, 1, 1), ends(going("s2", 1, 1, 1), 9)}}
	s.Request("a", 500, 0)
	there := map[string]bool{}
	for name := range families(t, s) {
		if strings.HasPrefix(name, "diskcast_") {
			there[name] = true
		}
	}
	word := regexp.MustCompile(`diskcast_[a-z_]+`)
	for _, name := range []string{"figures.md", "figures/alerts.yml", "figures/dashboard.json"} {
		b, err := os.ReadFile(filepath.Join("../../docs", name))
		if err != nil {
			t.Fatal(err)
		}
		named := map[string]bool{}
		for _, w := range word.FindAllString(string(b), -1) {
			if !there[w] {
				w = strings.TrimSuffix(w, "_bucket")
			}
			if named[w] = true; !there[w] {
				t.Errorf("%s names %s, which there is not", name, w)
			}
		}
		for w := range there {
			if name == "figures.md" && !named[w] {
				t.Errorf("%s does not name %s", name, w)
			}
		}
	}
}
