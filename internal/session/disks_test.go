package session

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// severalDisks is a descriptor of two disks that is well.
func severalDisks() *Descriptor {
	blob := Blob{Digest: "sha256:1", Size: 1}
	im := Image{Name: "a", Manifest: "sha256:2", Config: blob, Index: blob}
	other := im
	other.Name, other.Manifest = "b", "sha256:3"
	return &Descriptor{V: Version, Session: "s1", Node: "n", Serial: 1, Action: RestoreDisks, Image: &im,
		Target:    &Target{},
		Job:       json.RawMessage(`{"v":1,"disks":2}`),
		MoreDisks: []MoreDisk{{Image: other, Target: Target{Serial: "B"}, Disk: &DiskID{Serial: "B", Size: 1}}}}
}

func TestSeveralDisks(t *testing.T) {
	for want, change := range map[string]func(*Descriptor){
		"":                              func(*Descriptor) {},
		"the job is for 2 disks, and 1": func(d *Descriptor) { d.MoreDisks = nil },
		"1 disks are not 2 to 16": func(d *Descriptor) {
			d.MoreDisks, d.Job = nil,
				[]byte(`{"v":1,"disks":1}`)
		},
		"does not say how many":           func(d *Descriptor) { d.Job = nil },
		"speaks v=1":                      func(d *Descriptor) { d.Job = []byte(`{"v":2,"disks":2}`) },
		"target of disk 2: size class":    func(d *Descriptor) { d.MoreDisks[0].Target.MinSize = -1 },
		"disk 2: image \"b\": a digest":   func(d *Descriptor) { d.MoreDisks[0].Image.Manifest = "" },
		"disk 2: cast: group":             func(d *Descriptor) { d.MoreDisks[0].Cast = &Cast{} },
		"restore is of one disk, and":     func(d *Descriptor) { d.Action = Restore },
		"no image":                        func(d *Descriptor) { d.Image = nil },
		"the job is for 9 disks, and 2 a": func(d *Descriptor) { d.Job = []byte(`{"v":1,"disks":9}`) },
	} {
		d := severalDisks()
		change(d)
		raw, err := json.Marshal(d)
		if err != nil {
			continue // no job at all is no JSON
		}
		err = Decode(bytes.NewReader(raw), new(Descriptor))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) &&
			!strings.Contains(want, "how many") || strings.Contains(want, "how many") && err == nil {
			t.Errorf("%v, want %q", err, want)
		}
	}
	one := severalDisks().OfDisk(1)
	if one.Image.Name != "b" || one.Target.Serial != "B" || one.Disk.Serial != "B" || one.Cast != nil {
		t.Errorf("of the second disk: %+v", one)
	}
}
