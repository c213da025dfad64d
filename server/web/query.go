package web

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/diskcast/diskcast/server/web/openapi"
)

// queried refuses a query that would not be followed whole: a filter that is lost is none. Whoever may be anybody (a
// balancer that asks whether the server lives) and nodes, which may be of a later build, may say more.
func queried(rt *Route, takes []openapi.Param, r *http.Request) error {
	if rt.Role == Anyone || rt.Role == Node || rt.Role == Reader || r.URL.RawQuery == "" {
		return nil
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return &queryError{fmt.Errorf("the query cannot be read: %w (what is no letter is escaped: %%2C)", err)}
	}
	names := make([]string, 0, len(takes))
	for _, p := range takes {
		names = append(names, p.Name)
	}
	for name, values := range q {
		at := slices.Index(names, name)
		switch {
		case len(names) == 0:
			return &queryError{fmt.Errorf("parameter %.40q: this request takes no parameters", name)}
		case at < 0:
			return &queryError{fmt.Errorf("parameter %.40q is none of %s", name, strings.Join(names, ", "))}
		case len(values) > 1:
			return &queryError{fmt.Errorf("parameter %q is given twice", name)}
		case takes[at].Filter && values[0] == "":
			return &queryError{fmt.Errorf("parameter %q is empty: leave it away to have all", name)}
		}
		if _, err := strconv.ParseBool(values[0]); takes[at].Type == "boolean" && err != nil {
			return &queryError{fmt.Errorf("%s=%.40q is neither true nor false", name, values[0])}
		}
	}
	return nil
}

// said is whether a boolean of a query, which queried has read, is true.
func said(r *http.Request, name string) bool {
	yes, err := strconv.ParseBool(r.URL.Query().Get(name))
	return err == nil && yes
}
