package web

import (
	"errors"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/doc"
)

// TestImageInUseStays asks for an image to be taken away while a job reads it: refused with who uses it, and nothing is
// taken away; one of two names goes, and all of it when the job is over.
func TestImageInUseStays(t *testing.T) {
	r := newRig(t)
	digest := r.store("debian", disk(2))
	r.begun = make(chan chan struct{}, 1)
	c := r.operator()
	j, err := c.StartJob(t.Context(), doc.JobSpec{V: 1, Kind: doc.JobVerify, Image: "debian"})
	if err != nil {
		t.Fatal(err)
	}
	goOn := <-r.begun
	refused := func(ref string) {
		t.Helper()
		var status *client.StatusError
		if _, err := c.Library().Remove(t.Context(), ref); !errors.As(err, &status) || status.Code != 409 ||
			!strings.Contains(err.Error(), "job "+j.ID+" (verify)") {
			t.Errorf("%s is removed while it is read: %v", ref, err)
		}
	}
	refused("debian")
	refused(digest)
	refused(digest[7 : 7+12])
	if _, err := c.Library().Tag(t.Context(), "debian", "other"); err != nil {
		t.Fatal(err)
	}
	refused(digest)
	if _, err := c.Library().Remove(t.Context(), "other"); err != nil {
		t.Errorf("one of two names: %v", err)
	}
	close(goOn)
	if _, err := c.Library().Wait(t.Context(), j.ID, nil); err != nil {
		t.Fatal(err)
	}
	if v, err := c.Library().Remove(t.Context(), "debian"); err != nil || v.Digest != digest {
		t.Errorf("after the job: %+v, %v", v, err)
	}
	_, err = c.Library().Remove(t.Context(), "debian")
	if err == nil || !strings.Contains(err.Error(), "not in the store") {
		t.Errorf("an image that is gone: %v", err)
	}
}

// TestImageNamedStays asks for an image to be taken away that only what is to come names: profiles, menus and repeats.
func TestImageNamedStays(t *testing.T) {
	r := newRig(t)
	r.store("debian", disk(2))
	c := r.operator()
	if _, err := c.Library().Tag(t.Context(), "debian", "other"); err != nil {
		t.Fatal(err)
	}
	change := doc.LabChange{V: 1, Profiles: []doc.Profile{{Name: "gold", Spec: []byte(`{"image":"debian"}`)}},
		Menus: []doc.Menu{{Name: "room", Entries: []string{doc.EntryOwnDisk, doc.EntryImage + "debian"}}}}
	if _, err := c.ChangeLab(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]string{"debian": "profile gold, image=debian of menu room", "other": ""} {
		_, err := c.Library().Remove(t.Context(), ref)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", ref, err, want)
		}
	}
}
