package openapi

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/diskcast/diskcast/server/doc"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

// PagePolicy is the Content-Security-Policy of the page: its own style, and nothing else.
var PagePolicy = func() string {
	sum := sha256.Sum256([]byte(pageStyle))
	return "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src 'sha256-" +
		base64.StdEncoding.EncodeToString(sum[:]) + "'"
}()

type pageGroup struct {
	Name  string
	Calls []pageCall
}

type pageCall struct {
	ID, Method, Path, Does, Who string
	Params                      []*huma.Param
	In, Out                     pageType
	Body                        string
	OK                          int
	Refused                     []pageRefused
}

type pageRefused struct {
	Status int
	Codes  []string
}

// pageType is the type of a body or a field in words, and the schema that it links to.
type pageType struct{ Before, Schema, After string }

type pageSchema struct {
	Name   string
	Fields []pageField
}

type pageField struct {
	Name     string
	Type     pageType
	Required bool
}

// Page is the description of all calls as one page of HTML, without script.
func Page(version string, calls []Call) ([]byte, error) {
	o := describe(version, calls)
	t, err := template.New("page").Parse(pageText)
	if err != nil {
		return nil, err
	}
	groups := map[string]*pageGroup{}
	var order []*pageGroup
	for i := range calls {
		c := &calls[i]
		g := groups[group(c)]
		if g == nil {
			g = &pageGroup{Name: group(c)}
			groups[g.Name], order = g, append(order, g)
		}
		g.Calls = append(g.Calls, onPage(o, c))
	}
	var out bytes.Buffer
	err = t.Execute(&out, map[string]any{"Version": version, "Style": template.CSS(pageStyle), "Groups": order,
		"Problems": doc.Problems(), "Schemas": schemas(o)})
	return out.Bytes(), err
}

func onPage(o *huma.OpenAPI, c *Call) pageCall {
	op := operationOf(o, c)
	p := pageCall{ID: op.OperationID, Method: c.Method, Path: c.path(), Does: c.Does, Who: cmp.Or(c.Who, "anyone"),
		Params: op.Parameters, OK: c.Status}
	if op.RequestBody != nil {
		p.In = ofContent(op.RequestBody.Content)
		p.Body = strconv.FormatInt(c.Body>>10, 10) + " KiB"
	}
	p.Out = ofContent(op.Responses[strconv.Itoa(c.Status)].Content)
	for _, status := range c.refusals() {
		r := pageRefused{Status: status}
		for _, pr := range doc.Problems() {
			if pr.Status == status {
				r.Codes = append(r.Codes, pr.Code)
			}
		}
		if len(r.Codes) > 0 {
			p.Refused = append(p.Refused, r)
		}
	}
	return p
}

func ofContent(content map[string]*huma.MediaType) pageType {
	kinds := slices.Sorted(maps.Keys(content)) // JSON before text
	if len(kinds) == 0 {
		return pageType{Before: "nothing"}
	}
	t := typeOf(content[kinds[0]].Schema)
	if t == (pageType{Before: "anything"}) {
		return pageType{Before: kinds[0]}
	}
	return t
}

func typeOf(s *huma.Schema) pageType {
	switch {
	case s == nil:
		return pageType{}
	case s.Ref != "":
		return pageType{Schema: strings.TrimPrefix(s.Ref, refs)}
	case s.Items != nil:
		t := typeOf(s.Items)
		t.Before = "list of " + t.Before
		return t
	case s.Type == huma.TypeObject:
		if more, ok := s.AdditionalProperties.(*huma.Schema); ok {
			t := typeOf(more)
			t.Before = "map from string to " + t.Before
			return t
		}
	case s.Type == "":
		return pageType{Before: "anything"}
	case s.Format == "date-time":
		return pageType{Before: "time (RFC 3339)"}
	}
	return pageType{Before: s.Type}
}

func schemas(o *huma.OpenAPI) []pageSchema {
	var out []pageSchema
	all := o.Components.Schemas.Map()
	for _, n := range slices.Sorted(maps.Keys(all)) {
		s := pageSchema{Name: n}
		for _, k := range slices.Sorted(maps.Keys(all[n].Properties)) {
			s.Fields = append(s.Fields, pageField{Name: k, Type: typeOf(all[n].Properties[k]),
				Required: slices.Contains(all[n].Required, k)})
		}
		out = append(out, s)
	}
	return out
}
