package doc

import (
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/golden"
)

// TestDocuments holds the JSON of every document of the operator API, with every field set, against a file: what
// changes there changes for every client.
func TestDocuments(t *testing.T) {
	for name, doc := range map[string]any{
		"spec": new(Spec), "session": new(Session),
		"session-change": new(SessionChange), "part": new(Part), "node": new(Node), "event": new(Event),
		"line": new(Line), "error": new(Error),
		"dhcp": new(DHCP), "machine": new(Machine), "machine-change": new(MachineChange),
		"machine-merge": new(MachineMerge),
		"machine-split": new(MachineSplit), "image-row": new(ImageRow), "image": new(Image),
		"image-diff": new(ImageDiff),
		"image-name": new(ImageName), "image-removed": new(ImageRemoved), "image-exported": new(ImageExported),
		"job": new(Job), "lab": new(Lab), "lab-change": new(LabChange), "lab-result": new(LabResult),
		"machines-change": new(MachinesChange),
		"power":           new(Power), "power-set": new(PowerSet), "power-spec": new(PowerSpec),
		"power-run": new(PowerRun), "node-look": new(NodeLook), "plan": new(Plan),
		"word": new(Word), "notify-receiver": new(NotifyReceiver), "notify-test": new(NotifyTest),
		"notify-result": new(NotifyResult), "notify-secret": new(NotifySecret), "notify-finding": new(NotifyFinding),
		"repeat": new(Repeat), "repeat-spec": new(RepeatSpec),
		"token-spec": new(TokenSpec), "token": new(Token), "token-made": new(TokenMade),
		"login-link-spec": new(LoginLinkSpec), "login-link": new(LoginLink), "audit": new(Audit),
		"audit-entry": new(AuditEntry), "doctor": new(Doctor),
		"console": new(Console), "console-open": new(ConsoleOpen), "console-keys": new(ConsoleKeys),
	} {
		golden.Fill(doc)
		if l, ok := doc.(*Line); ok { // its parts have files of their own
			l.Session, l.Node, l.Event, l.Sighting, l.Machine, l.Job = &Session{}, &Part{}, &Event{}, &Node{},
				&Machine{}, &Job{}
			l.Group, l.Profile, l.Rule, l.Menu, l.Repeat = &Group{}, &Profile{}, &Rule{}, &Menu{}, &Repeat{}
		}
		golden.JSON(t, "testdata/"+name+".json", doc)
	}
}
