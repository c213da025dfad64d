package session

import (
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/golden"
)

// TestDocuments holds the JSON of every document that nodes and server exchange, with every field set, against a file:
// what changes there changes for agents that were booted before.
func TestDocuments(t *testing.T) {
	for name, doc := range map[string]Document{
		"hello": new(Hello), "hello-reply": new(HelloReply), "events": new(Events), "descriptor": new(Descriptor),
		"disk-choice":  new(DiskChoice),
		"personal-ask": new(PersonalAsk), "look-result": new(LookResult),
		"menu-choice": new(MenuChoice), "menu-reply": new(MenuReply),
		"frame-reply": new(FrameReply), "capture-reply": new(CaptureReply),
	} {
		golden.Fill(doc)
		golden.JSON(t, "testdata/"+name+".json", doc)
	}
}
