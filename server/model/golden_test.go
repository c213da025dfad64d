package model

import (
	"testing"

	"github.com/diskcast/diskcast/internal/golden"
)

// TestDocuments holds the JSON of every document of the operator API, with every field set, against a file: what changes there changes for
// every client.
func TestDocuments(t *testing.T) {
	for name, doc := range map[string]any{
		"spec": new(Spec), "session": new(Session), "part": new(Part), "node": new(Node), "event": new(Event), "line": new(Line), "error": new(Error),
		"dhcp": new(DHCP), "machine": new(Machine), "machine-change": new(MachineChange), "machine-merge": new(MachineMerge),
		"machine-split": new(MachineSplit),
	} {
		golden.Fill(doc)
		if l, ok := doc.(*Line); ok { // its parts have files of their own
			l.Session, l.Node, l.Event = &Session{}, &Part{}, &Event{}
		}
		golden.JSON(t, "testdata/"+name+".json", doc)
	}
}
