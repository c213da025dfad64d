package doc

import (
	"encoding/json"
	"testing"
)

func FuzzJobSpec(f *testing.F) {
	for _, s := range []string{`{"v":1,"kind":"verify","image":"debian"}`, `{"v":1,"kind":"gc","unnamed":true}`,
		`{"v":1,"kind":"pull","registry":"r.example.org/x:1","name":"x"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var s JobSpec
		if json.Unmarshal(b, &s) != nil || s.Check() != nil {
			return
		}
		// What is taken can be done: it names what its kind works on.
		switch s.Kind {
		case JobVerify, JobOptimize:
			if s.Image == "" || s.Registry != "" {
				t.Errorf("%+v", s)
			}
		case JobPush, JobPull:
			if s.Registry == "" || (s.Kind == JobPush) != (s.Image != "") || (s.Kind == JobPull) != (s.Name != "") {
				t.Errorf("%+v", s)
			}
		case JobGC:
			if s.Image != "" || s.Name != "" || s.Registry != "" {
				t.Errorf("%+v", s)
			}
		default:
			t.Errorf("kind %q", s.Kind)
		}
	})
}
