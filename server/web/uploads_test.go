package web

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/library"
)

// TestUploads: a file becomes an image by a job; what is refused is refused with its status, and recorded without the
// file.
func TestUploads(t *testing.T) {
	r := newRig(t)
	api := r.srv.Config.Handler.(*API)
	if code, body, _ := r.call("POST", "/v1/uploads?name=x", r.id.Token, "x"); code != http.StatusNotFound {
		t.Errorf("a server that takes none: %d %s", code, body)
	}
	api.WithUploads(library.NewUploads(r.lib, api.jobs))
	disk := make([]byte, 1<<20)
	imagetest.Random(disk, 9)
	_, before := r.recorded(0)
	code, body, h := r.call("POST", "/v1/uploads?name=lab&level=fast", r.id.Token, string(disk))
	var j doc.Job
	if err := json.Unmarshal([]byte(body), &j); code != http.StatusCreated || err != nil ||
		h.Get("Location") != "/v1/jobs/"+j.ID || j.Spec.Kind != doc.JobImport {
		t.Fatalf("%d %s", code, body)
	}
	for !j.Over() {
		now, err := api.jobs.Wait(t.Context(), j.ID, j.Serial)
		if err != nil {
			t.Fatal(err)
		}
		j = *now
	}
	if j.State != doc.Done || j.Result.Import.Disk != 1<<20 {
		t.Errorf("%+v", j)
	}
	entries, _ := r.recorded(before)
	if len(entries) != 2 || len(entries[0].Document) != 0 || !strings.Contains(entries[0].Path, "name=lab") {
		t.Errorf("recorded: %+v", entries)
	}
	for query, want := range map[string]int{"?name=lab": 409, "?name=lab&replace=maybe": 400, "?name=../x": 422,
		"?name=x&size=5": 400, "?name=x&size=-1": 400, "?name=x&level=none": 422, "?name=x&other=1": 400, "": 422} {
		if code, body, _ := r.call("POST", "/v1/uploads"+query, r.id.Token, string(disk)); code != want {
			t.Errorf("POST %q: %d, want %d: %s", query, code, want, body)
		}
	}
	for query, want := range map[string]int{"?name=lab": 409, "?name=x&size=5": 204, "?name=lab&replace=true": 204,
		"?name=x&size=" + strconv.Itoa(library.MaxUpload): 507} {
		if code, body, _ := r.call("GET", "/v1/uploads"+query, r.id.Token, ""); code != want {
			t.Errorf("GET %q: %d, want %d: %s", query, code, want, body)
		}
	}
	w := r.ask("POST", "/v1/uploads?name=x", r.id.Token, bytes.NewReader(nil), library.MaxUpload+1)
	if w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a file that is too large: %d %s", w.Code, w.Body)
	}
	if code, body, _ := r.call("POST", "/v1/jobs", r.id.Token, `{"v":1,"kind":"import","name":"x"}`); code != 422 ||
		!strings.Contains(body, "POST /v1/uploads") {
		t.Errorf("a job without a file: %d %s", code, body)
	}
	if list, err := r.lib.List(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
}
