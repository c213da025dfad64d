package page

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/server/access"
	"github.com/diskcast/diskcast/server/doc"
)

// form is a form with a file, as browsers send it; it ends where the file does if end is false.
func form(fields [][2]string, file io.Reader, end bool) (io.Reader, string) {
	r, w := io.Pipe()
	m := multipart.NewWriter(w)
	go func() { // ends with the file, or when nobody reads any more
		for _, f := range fields {
			if err := m.WriteField(f[0], f[1]); err != nil {
				w.CloseWithError(err)
				return
			}
		}
		if file != nil {
			p, err := m.CreateFormFile("file", "disk.img")
			if err == nil {
				_, err = io.Copy(p, file)
			}
			if err != nil || !end {
				w.CloseWithError(err)
				return
			}
		}
		w.CloseWithError(m.Close())
	}()
	return r, m.FormDataContentType()
}

// send sends a form with a file, and returns the status, the page and where it leads.
func (b *visitor) send(fields [][2]string, file io.Reader, end bool) (int, string, string) {
	b.t.Helper()
	body, kind := form(fields, file, end)
	req, err := http.NewRequestWithContext(b.t.Context(), "POST", b.r.srv.URL+"/upload", body)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	resp, err := b.http.Do(req)
	if err != nil {
		return 0, err.Error(), ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, string(text), resp.Header.Get("Location")
}

func (r *rig) jobOver(t *testing.T, id string) *doc.Job {
	t.Helper()
	for after := uint64(0); ; {
		j, err := r.jobs.Wait(context.Background(), id, after)
		if err != nil {
			t.Fatal(err)
		}
		if j.Over() {
			return j
		}
		after = j.Serial
	}
}

// TestUpload: an operator sends a file from the page and follows the job to the image; each refusal says why, at the
// end of a file that is still being sent, and leaves no image.
func TestUpload(t *testing.T) {
	r := newRig(t, options{})
	b, viewer := r.logged(t, access.Operator), r.logged(t, access.Viewer)
	disk := make([]byte, 40<<20) // more than a server would read of a body that it refused unread
	imagetest.Random(disk[:2<<20], 5)
	csrf := b.csrf("/upload")
	with := func(pairs ...string) (out [][2]string) {
		out = [][2]string{{"csrf", csrf}}
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, [2]string{pairs[i], pairs[i+1]})
		}
		return out
	}
	harmlessPage(t, "/upload", b.get("/upload?name="+url.QueryEscape(hostile)))
	if !strings.Contains(b.get("/upload"), `<a href="/images" aria-current="page">`) {
		t.Error("the form belongs to no part of the site")
	}
	if strings.Contains(viewer.get("/images"), "/upload") || !strings.Contains(b.get("/images"), `href="/upload"`) {
		t.Error("the form is for operators, and for them only")
	}
	code, body, to := b.send(with("name", "lab", "level", "fast"), bytes.NewReader(disk), true)
	if code != http.StatusSeeOther || !strings.HasPrefix(to, "/jobs/") {
		t.Fatalf("%d, to %q\n%s", code, to, body)
	}
	if !strings.Contains(b.get(to), "makes an image of a file") {
		t.Errorf("the page of the job:\n%s", b.get(to))
	}
	j := r.jobOver(t, strings.TrimPrefix(to, "/jobs/"))
	page := viewer.get(to)
	harmlessPage(t, to, page)
	if j.State != doc.Done || !strings.Contains(page, `href="/images/lab"`) ||
		!strings.Contains(page, "is this a disk?") {
		t.Errorf("%+v\n%s", j, page)
	}
	for _, c := range []struct {
		name   string
		who    *visitor
		fields [][2]string
		file   io.Reader
		code   int
		want   string
	}{
		{"a name that is taken", b, with("name", "lab"), bytes.NewReader(disk), http.StatusConflict,
			"another image has the name"},
		{"a name that is none", b, with("name", "../x"), bytes.NewReader(disk), http.StatusUnprocessableEntity, "name"},
		{"an empty file", b, with("name", "x"), strings.NewReader(""), http.StatusUnprocessableEntity, "empty"},
		{"no file", b, with("name", "x"), nil, http.StatusBadRequest, "it has no file"},
		{"a viewer", viewer, with("name", "x"), strings.NewReader("x"), http.StatusForbidden, "this wants operator"},
		{"a form of nobody's", b, [][2]string{{"name", "x"}}, strings.NewReader("x"), http.StatusForbidden,
			"this form is of"},
		{"a form of another's", b, [][2]string{{"csrf", viewer.csrf("/")}, {"name", "x"}}, strings.NewReader("x"),
			http.StatusForbidden, "this form is of"},
		{"a field that is too long", b, with("name", strings.Repeat("x", maxPart+1)), strings.NewReader("x"),
			http.StatusBadRequest, "too long"},
		{"too much before the file", b, with("a", strings.Repeat("x", maxPart), "b", strings.Repeat("x", beforeFile)),
			strings.NewReader("x"), http.StatusBadRequest, "too long"},
		{"too many fields", b, with(strings.Split(strings.Repeat("x,y,", maxParts)+"x,y", ",")...),
			strings.NewReader("x"), http.StatusBadRequest, "too many fields"},
		{"a form whose fields stand behind the file", b, nil, strings.NewReader("x"), http.StatusForbidden,
			"this form is of"},
	} {
		code, body, _ := c.who.send(c.fields, c.file, true)
		if code != c.code || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d, want %d and %q\n%s", c.name, code, c.code, c.want, body)
		}
	}
	code, _, _ = b.send(with("name", "x"), bytes.NewReader(disk[:1<<20]), false)
	if code != http.StatusBadRequest {
		t.Errorf("a form that breaks off: %d", code)
	}
	if code, body, _ := b.do("POST", "/upload", url.Values{"csrf": {csrf}}); code != http.StatusForbidden {
		t.Errorf("a form without a file's encoding: %d\n%s", code, body)
	}
	if list, err := r.lib.List(t.Context()); err != nil || len(list) != 1 || len(r.jobs.List()) != 1 {
		t.Errorf("%+v, %v, %d jobs", list, err, len(r.jobs.List()))
	}
	for query, want := range map[string]int{"name=new&size=1000": 204, "name=lab": 409, "name=lab&replace=yes": 204,
		"name=new&size=9000000000000000": 422, "name=": 422, "name=x&level=best": 422} {
		if code, body, _ := b.do("GET", "/upload/check?"+query, nil); code != want {
			t.Errorf("check of %s: %d, want %d\n%s", query, code, want, body)
		}
	}
	code, body, to = b.send(with("name", "lab", "replace", "yes"), bytes.NewReader(disk[:4<<20]), true)
	if code != http.StatusSeeOther {
		t.Fatalf("a name that is replaced: %d\n%s", code, body)
	}
	if j := r.jobOver(t, strings.TrimPrefix(to, "/jobs/")); j.State != doc.Done {
		t.Errorf("a name that is replaced: %+v", j)
	}
	if code, _, _ := b.do("POST", to+"/cancel", url.Values{"csrf": {csrf}}); code != http.StatusSeeOther {
		t.Errorf("a job that is over, cancelled: %d", code)
	}
	if code, _, _ := b.do("GET", "/jobs/none", nil); code != http.StatusNotFound {
		t.Errorf("a job that is not there: %d", code)
	}
}

// FuzzUploadForm: whatever a form with a file is made of, what stands before the file stays bounded.
func FuzzUploadForm(f *testing.F) {
	for _, fields := range [][][2]string{{{"csrf", "x"}, {"name", "y"}}, nil} {
		body, kind := form(fields, strings.NewReader("disk"), true)
		b, err := io.ReadAll(body)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, strings.TrimPrefix(kind, "multipart/form-data; boundary="))
	}
	f.Fuzz(func(t *testing.T, b []byte, boundary string) {
		in := &arriving{bytes.NewReader(b), http.NewResponseController(nil), beforeFile}
		_, fields, err := formBefore(multipart.NewReader(in, boundary))
		if err != nil {
			return
		}
		n := 0
		for k, all := range fields {
			for _, s := range all {
				n += len(k) + len(s)
				if len(s) > maxPart {
					t.Fatal(fmt.Errorf("a field of %d bytes", len(s)))
				}
			}
		}
		if n > beforeFile {
			t.Fatalf("%d bytes of fields", n)
		}
	})
}
