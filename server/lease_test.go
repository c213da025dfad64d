package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/server/doc"
)

// TestLeases is what the operator sees of a machine's address, before and after the server was killed, and its freeing.
func TestLeases(t *testing.T) {
	l := newLab(t)
	id := strings.TrimSpace(l.diskcast("session", "create", "--image", "debian", "--nodes", "1"))
	l.node(func(string) {})
	if s := l.session(id); s.State != doc.Done {
		t.Fatalf("session: %+v", s)
	}
	list := func() *doc.DHCP {
		t.Helper()
		var v doc.DHCP
		if err := json.Unmarshal([]byte(l.diskcast("lease", "list", "--json")), &v); err != nil {
			t.Fatal(err)
		}
		return &v
	}
	v := list()
	if v.Mode != "full" || v.Addresses != 21 || v.Free != 20 || len(v.Leases) != 1 || len(v.Others) != 0 ||
		len(v.Warnings) != 0 {
		t.Fatalf("%+v", v)
	}
	one := v.Leases[0]
	if node := l.diskcast("node", "show", one.MAC); one.State != doc.LeaseHeld || !one.Known ||
		!strings.Contains(node, one.Addr) {
		t.Errorf("%+v of the node\n%s", one, node)
	}
	l.kill()
	l.serve()
	if again := list(); len(again.Leases) != 1 || again.Leases[0] != one {
		t.Errorf("after the server was killed: %+v, before: %+v", again.Leases, one)
	}
	if out := l.diskcast("lease", "list"); !strings.Contains(out, one.Addr+"  "+one.MAC+"  held   known") ||
		!strings.Contains(out, "20 of 21 addresses of 10.77.0.100-10.77.0.120 are free") {
		t.Errorf("list:\n%s", out)
	}
	l.diskcast("lease", "free", one.Addr)
	if v := list(); v.Free != 21 || len(v.Leases) != 0 {
		t.Errorf("after it was freed: %+v", v)
	}
	l.kill()
	l.serve()
	if v := list(); v.Free != 21 || len(v.Leases) != 0 {
		t.Errorf("freed, and there again after the server was killed: %+v", v)
	}
}
