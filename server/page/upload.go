package page

import (
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/diskcast/diskcast/server/doc"
)

// Bounds of a form with a file.
const (
	beforeFile = 64 << 10 // bytes in front of it
	maxParts   = 16
	maxPart    = 1 << 10 // bytes of a field
	fileWait   = time.Minute
)

// streamed are routes whose form has a file, which is read as it comes and never in memory whole.
var streamed = map[string]bool{"POST /upload": true}

// arriving is the body of a form with a file. It may take any time, as long as something comes of it.
type arriving struct {
	io.Reader
	rc   *http.ResponseController
	left int64 // bytes that are read of it; below 0: any number
}

var errLongForm = errors.New("what stands before the file is too long")

func (a *arriving) Read(p []byte) (int, error) {
	if a.left == 0 {
		return 0, errLongForm
	}
	if a.left > 0 {
		p = p[:min(int64(len(p)), a.left)]
	}
	_ = a.rc.SetReadDeadline(time.Now().Add(fileWait)) // not every writer has deadlines (tests' do not)
	n, err := a.Reader.Read(p)
	if a.left > 0 {
		a.left -= int64(n)
	}
	return n, err
}

// uploadView is the form by which a file becomes an image.
type uploadView struct {
	Fields  url.Values
	Problem string
}

// Field is what the form says.
func (d *uploadView) Field(name string) string { return d.Fields.Get(name) }

func (v *visit) uploadForm() error {
	if v.holder.Within != "" { // its form could never be sent
		return &refused{http.StatusForbidden, fmt.Sprintf("%s is held to the machines %s, and images are of all: an "+
			"administrator makes other tokens (diskcast token create)", v.holder.Name, v.holder.Within)}
	}
	q := v.r.URL.Query()
	d := &uploadView{Fields: url.Values{"name": {q.Get("name")}}}
	return v.show(http.StatusOK, "upload", "Bring an image", d)
}

// asked is a file's request of the API.
func asked(fields url.Values) string {
	q := url.Values{"name": {fields.Get("name")}}
	if s := fields.Get("level"); s != "" {
		q.Set("level", s)
	}
	if fields.Get("replace") != "" {
		q.Set("replace", "true")
	}
	if n, err := strconv.ParseInt(fields.Get("size"), 10, 64); err == nil && n >= 0 {
		q.Set("size", strconv.FormatInt(n, 10))
	}
	return "/v1/uploads?" + q.Encode()
}

// checkUpload says whether a file would be taken, for a script, before the file is sent.
func (v *visit) checkUpload() error {
	if _, err := ask[any](v, http.MethodGet, asked(v.r.URL.Query()), nil); err != nil {
		return err
	}
	v.w.WriteHeader(http.StatusNoContent)
	return nil
}

// upload takes the file of a form. What stands before the file says who sent the form and what is to become of it.
func (v *visit) upload() error {
	body := &arriving{v.r.Body, http.NewResponseController(v.w), beforeFile}
	v.r.Body = io.NopCloser(body)
	parts, err := v.r.MultipartReader()
	if err != nil {
		return errForeignForm // those of our pages are sent so
	}
	file, fields, err := formBefore(parts)
	if err != nil {
		return &refused{http.StatusBadRequest, "the form is not understood: " + err.Error()}
	}
	if !v.ownForm(fields.Get("csrf")) {
		return errForeignForm
	}
	body.left = -1
	v.r.PostForm = fields
	err = v.once(func() (string, string, error) {
		j, err := send[*doc.Job](v, http.MethodPost, asked(fields), file)
		if err != nil {
			return "", "", err
		}
		v.did("upload", "job", j.ID, "name", fields.Get("name"))
		return path("/jobs/%s", j.ID), "The file is here; the image is being made of it.", nil
	})
	r := (*refused)(nil)
	if !errors.As(err, &r) {
		return err
	}
	// A browser reads no answer before it has sent its file. What does not come any more is nothing to be told.
	if _, err := io.Copy(io.Discard, body); err != nil {
		v.page.Log.Debug("the rest of a file that was refused did not come", "err", err)
	}
	_ = body.rc.SetReadDeadline(time.Time{})
	return v.show(r.code, "upload", "Bring an image", &uploadView{Fields: fields, Problem: r.words})
}

// formBefore reads the fields of a form up to its file.
func formBefore(parts *multipart.Reader) (file io.Reader, fields url.Values, err error) {
	fields = url.Values{}
	for range maxParts {
		p, err := parts.NextPart()
		if err == io.EOF {
			return nil, nil, errors.New("it has no file")
		}
		if err != nil {
			return nil, nil, err
		}
		if p.FormName() == "file" {
			return p, fields, nil
		}
		b, err := io.ReadAll(io.LimitReader(p, maxPart+1))
		if err != nil {
			return nil, nil, err
		}
		if len(b) > maxPart {
			return nil, nil, fmt.Errorf("the field %.40q is too long", p.FormName())
		}
		fields.Add(p.FormName(), string(b))
	}
	return nil, nil, errors.New("it has too many fields")
}
