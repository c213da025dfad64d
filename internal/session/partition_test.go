package session

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestParsePartition(t *testing.T) {
	for s, want := range map[string]PartitionBy{
		"2": {Number: 2}, "name=root=a": {Name: "root=a"}, "uuid=ABCD-01": {UUID: "abcd-01"},
	} {
		by, err := ParsePartition(s)
		if err != nil || by != want {
			t.Errorf("%s: %+v, %v", s, by, err)
		}
		if again, err := ParsePartition(by.String()); err != nil || again != by {
			t.Errorf("%s does not come back: %+v, %v", s, again, err)
		}
	}
	for _, s := range []string{"", "0", "-1", "5000", "root", "name=", "uuid=", "label=x",
		"name=" + strings.Repeat("x", 300)} {
		if by, err := ParsePartition(s); err == nil {
			t.Errorf("%.20q is taken for %+v", s, by)
		}
	}
}

// A job or a result of another version, or of no partition, is refused.
func TestPartitionDocuments(t *testing.T) {
	for _, s := range []string{`{}`, `{"v":2,"number":1}`, `{"v":1}`, `{"v":1,"number":1,"name":"x"}`,
		`{"v":1,"number":-3}`, `[]`} {
		if j, err := ParsePartitionJob(json.RawMessage(s)); err == nil {
			t.Errorf("job %s is taken for %+v", s, j)
		}
	}
	if j, err := ParsePartitionJob(json.RawMessage(`{"v":1,"name":"root"}`)); err != nil || j.Name != "root" {
		t.Errorf("%+v, %v", j, err)
	}
	for _, s := range []string{`{"v":1,"number":2,"start":0,"size":5}`, `{"v":1,"number":0,"start":1,"size":5}`,
		`{"v":3,"number":2,"start":1,"size":5}`} {
		if r, err := ParsePartitionResult(json.RawMessage(s)); err == nil {
			t.Errorf("result %s is taken for %+v", s, r)
		}
	}
}

// An action on a partition without a job that names it would be one on the disk.
func TestPartitionDescriptor(t *testing.T) {
	d := &Descriptor{V: 1, Session: "s", Action: RestorePartition, Target: &Target{}, Job: json.RawMessage(`{"v":1}`)}
	if err := d.Validate(); err == nil || !strings.Contains(err.Error(), "partition") {
		t.Errorf("%v", err)
	}
	d.Job = json.RawMessage(`{"v":1,"number":2}`)
	if err := d.Validate(); err == nil || !strings.Contains(err.Error(), "no image") {
		t.Errorf("%v: a restore into a partition is checked like any other", err)
	}
}

func FuzzParsePartitionJob(f *testing.F) {
	f.Add([]byte(`{"v":1,"number":2}`))
	f.Add([]byte(`{"v":1,"name":"root"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if j, err := ParsePartitionJob(raw); err == nil {
			if _, err := ParsePartition(j.String()); err != nil && j.UUID == "" {
				t.Fatalf("%+v: %v", j, err)
			}
		}
		_, _ = ParsePartitionResult(raw)
	})
}
