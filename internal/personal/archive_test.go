package personal

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
)

// packed is an archive of headers, each followed by as many bytes as it says.
func packed(t testing.TB, zip bool, headers ...tar.Header) string {
	t.Helper()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for _, h := range headers {
		if err := tw.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(make([]byte, h.Size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	raw := b.Bytes()
	if zip {
		var z bytes.Buffer
		zw := gzip.NewWriter(&z)
		if _, err := zw.Write(raw); err != nil {
			t.Fatal(err)
		}
		if err := zw.Close(); err != nil {
			t.Fatal(err)
		}
		raw = z.Bytes()
	}
	return base64.StdEncoding.EncodeToString(raw)
}

func file(name string, size int64) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeReg, Size: size, Mode: 0o644}
}

func linked(name, to string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to}
}

func TestArchive(t *testing.T) {
	cut := packed(t, true, file("etc/a", 5000))
	rawCut, err := base64.StdEncoding.DecodeString(cut)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ content, into, want string }{
		"good":           {content: packed(t, true, file("./etc/a", 10), linked("etc/b", "../opt/a"), file("c", 0))},
		"plain":          {content: packed(t, false, file("etc/a", 10)), into: "/opt/x"},
		"absolute":       {content: packed(t, false, file("/etc/a", 10)), want: "begins with /"},
		"up":             {content: packed(t, false, file("etc/../../a", 10)), want: "leads out"},
		"absolute link":  {content: packed(t, false, linked("a", "/etc/passwd")), want: "without / at their start"},
		"link out":       {content: packed(t, false, linked("etc/a", "../../x")), want: "leads out"},
		"link out, into": {content: packed(t, false, linked("a", "../../../x")), into: "/opt/x", want: "leads out"},
		"link in, into":  {content: packed(t, false, linked("a", "../../x")), into: "/opt/x"},
		"hard link": {content: packed(t, false, tar.Header{Name: "a", Typeflag: tar.TypeLink, Linkname: "b"}),
			want: "neither"},
		"device":    {content: packed(t, false, tar.Header{Name: "a", Typeflag: tar.TypeBlock}), want: "neither"},
		"twice":     {content: packed(t, false, file("a", 1), file("./a", 1)), want: "in it twice"},
		"too large": {content: packed(t, true, file("a", MaxUnpacked+1)), want: "more than"},
		"too much":  {content: packed(t, true, file("a", MaxUnpacked), file("b", 1)), want: "more than"},
		"cut":       {content: base64.StdEncoding.EncodeToString(rawCut[:len(rawCut)-6]), want: "EOF"},
		"empty":     {content: "", want: "nothing in it"},
		"no tar":    {content: base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("x"), 1024)), want: "header"},
		"no base64": {content: "%", want: "not base64"},
		"into":      {content: packed(t, false, file("a", 1)), into: "opt", want: "a folder from the root"},
		"sealed":    {content: Sealed, want: "stands where something secret was"},
		"hostname":  {content: packed(t, false, file("etc/hostname", 1)), want: "by hostname too"},
		"attributes": {content: packed(t, false, tar.Header{Name: "a", Typeflag: tar.TypeReg, Format: tar.FormatPAX,
			PAXRecords: map[string]string{"SCHILY.xattr.security.capability": "x"}}), want: "--no-xattrs"},
	} {
		s := Settings{Hostname: "a", Archive: &Archive{Into: tt.into, Content: tt.content}}
		err := s.Check()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
		raw, err := json.Marshal(Document{V: Version, Things: s})
		if err != nil {
			t.Fatal(err)
		}
		_, err = ParseDocument(raw) // a node does not rely on the server's check
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s, as a node reads it: %v, want %q", name, err, tt.want)
		}
		if shown, err := json.Marshal(s.Shown()); err != nil || tt.content != "" && tt.content != Sealed &&
			strings.Contains(string(shown), tt.content) {
			t.Errorf("%s: %s is shown (%v)", name, shown, err)
		}
	}
}

// FuzzArchive shows that no name of an archive that is taken leads out of the root.
func FuzzArchive(f *testing.F) {
	for _, content := range []string{packed(f, false, file("a", 10), linked("b", "../x")),
		packed(f, true, file("a/b", 1))} {
		raw, err := base64.StdEncoding.DecodeString(content)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, "/opt")
	}
	f.Fuzz(func(t *testing.T, raw []byte, into string) {
		s := Settings{Archive: &Archive{Content: base64.StdEncoding.EncodeToString(raw), Into: into}}
		if s.Check() != nil {
			return
		}
		members, err := s.Archive.Members()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range members {
			if !strings.HasPrefix(m.Name, "/") || strings.Contains(m.Name+"/", "/../") ||
				strings.HasPrefix(m.Link, "/") {
				t.Fatalf("%+v", m)
			}
		}
	})
}
