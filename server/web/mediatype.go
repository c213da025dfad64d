package web

import (
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/diskcast/diskcast/internal/plain"
)

// maybeJSON refuses a document of which the request says that it is something else (RFC 9110, 15.5.16): a form above
// all, which is what pages of others can have a browser send unasked. A request that says nothing, or only that it has
// bytes (8.3), is read.
func maybeJSON(w http.ResponseWriter, r *http.Request) error {
	if coded := strings.Join(r.Header.Values("Content-Encoding"), " and "); coded != "" && coded != "identity" {
		w.Header().Set("Accept-Encoding", "identity") // RFC 9110, 12.5.3
		return fmt.Errorf("the request says that its document is compressed (%s): send it as it is",
			plain.Line(coded, 100))
	}
	said := r.Header.Values("Content-Type")
	if len(said) == 0 || len(said) == 1 && said[0] == "" {
		return nil
	}
	kind := ""
	if len(said) == 1 {
		kind, _, _ = mime.ParseMediaType(said[0]) // what has no type is none of these
	}
	switch {
	case kind == "application/json", kind == "application/octet-stream", strings.HasSuffix(kind, "+json"):
		return nil
	case kind == "application/x-www-form-urlencoded":
		return fmt.Errorf("the request says that it has a form (%s), and what is taken here is JSON: say so by the "+
			"header Content-Type: application/json, or by none; curl's --data says that it is a form, its --json "+
			"does not", kind)
	}
	return fmt.Errorf("the request says that it has %s, and what is taken here is JSON: say so by the header "+
		"Content-Type: application/json, or by none", plain.Line(strings.Join(said, " and "), 100))
}
