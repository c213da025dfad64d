package web

import (
	"strings"
	"testing"

	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/doc"
)

// TestMachines walks the operator through what can be done with machines.
func TestMachines(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	c, err := client.New(r.srv.URL, client.Credentials{Token: r.id.Token, Pin: r.id.Pin})
	if err != nil {
		t.Fatal(err)
	}
	r.hello("52:54:00:00:00:01", "b1")
	r.hello("52:54:00:00:00:02", "b2")
	name := "lab-01"
	m, err := c.EditMachine(ctx, "52:54:00:00:00:01", doc.MachineChange{V: 1, Name: &name})
	if err != nil || m.ID != "m1" || m.Name != name {
		t.Fatalf("%+v, %v", m, err)
	}
	if m, err = c.MergeMachines(ctx, name, "m2"); err != nil || len(m.Nodes) != 2 {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err = c.SplitMachine(ctx, name, "52:54:00:00:00:02"); err != nil || m.ID != "m3" {
		t.Errorf("%+v, %v", m, err)
	}
	all, err := c.Machines(ctx)
	if err != nil || len(all) != 2 {
		t.Errorf("%+v, %v", all, err)
	}
	if err := c.RemoveMachine(ctx, "m3"); err != nil {
		t.Error(err)
	}
	if _, err := c.Machine(ctx, "m3"); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("a machine that was removed: %v", err)
	}
	if m, err = c.Machine(ctx, name); err != nil || m.Name != name {
		t.Errorf("%+v, %v", m, err)
	}
	for _, x := range []struct {
		method, path, token, body string
		code                      int
	}{
		{"GET", "/v1/machines", "", "", 401},
		{"PATCH", "/v1/machines/m1", "", `{"v":1,"name":"x"}`, 401},
		{"PATCH", "/v1/machines/m1", r.id.Token, `{"v":1,"nmae":"x"}`, 400},
		{"PATCH", "/v1/machines/m1", r.id.Token, `{"v":2,"name":"x"}`, 422},
		{"PATCH", "/v1/machines/m1", r.id.Token, `{"v":1,"name":"m1"}`, 422},
		{"PATCH", "/v1/machines/nobody", r.id.Token, `{"v":1,"name":"x"}`, 404},
		{"POST", "/v1/machines/m1/merge", r.id.Token, `{"v":1,"from":"m1"}`, 422},
		{"POST", "/v1/machines/m1/split", r.id.Token, `{"v":1,"node":"52:54:00:00:00:01"}`, 422},
		{"DELETE", "/v1/machines/m9", r.id.Token, "", 404},
		{"PATCH", "/v1/machines/m1", r.id.Token, `{"v":1,"notes":"x","revision":77}`, 422},
		{"GET", "/v1/machines?select=lab-01", r.id.Token, "", 200},
		{"GET", "/v1/machines?select=nobody", r.id.Token, "", 422},
		{"POST", "/v1/machines", r.id.Token, `{"v":1,"on":"lab-01","labels":{"room":"1"}}`, 200},
		{"POST", "/v1/machines", r.id.Token, `{"v":1,"on":"lab-01","labls":{}}`, 400},
		{"POST", "/v1/machines", r.id.Token, `{"v":2,"on":"lab-01"}`, 422},
		{"GET", "/v1/lab", "", "", 401},
		{"GET", "/v1/lab", r.id.Token, "", 200},
		{"POST", "/v1/lab", r.id.Token, `{"v":1,"groups":[{"name":"a","select":"lab-01"}]}`, 200},
		{"POST", "/v1/lab", r.id.Token, `{"v":2}`, 422},
		{"POST", "/v1/lab", r.id.Token, `{"v":1,"group":[]}`, 400},
		{"POST", "/v1/sessions", r.id.Token, `{"v":1,"profile":"nobody","on":"lab-01"}`, 422},
		{"POST", "/v1/sessions", r.id.Token, `{"v":1,"image":"debian","on":"lab-01","target":{}}`, 201},
	} {
		if code, body, _ := r.call(x.method, x.path, x.token, x.body); code != x.code {
			t.Errorf("%s %s %s: %d %s, want %d", x.method, x.path, x.body, code, body, x.code)
		}
	}
	if _, body, _ := r.call("POST", "/v1/lab", r.id.Token,
		`{"v":1,"groups":[{"name":"b","select":"x"},{"name":"c"}]}`); !strings.
		Contains(string(body), `"entry":"groups[1]"`) {
		t.Errorf("the answer does not say which entry: %s", body)
	}
}
