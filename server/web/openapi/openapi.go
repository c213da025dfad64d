// Package openapi describes requests as OpenAPI 3.1 and as a page for people. Both, and the words in which a document
// is refused, come from the Go types that requests are decoded into and answers are encoded from.
package openapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/diskcast/diskcast/server/doc"
)

// Call is one request that can be made.
type Call struct {
	Method, Path string
	Does         string
	Who          string // the role that it takes; empty: nobody needs to prove anything
	Machines     string // what it is to a token that is held to some machines
	Body         int64  // bytes of a request's body at most
	In           any    // a value of the document's type; Bytes; nil for no body
	Lenient      bool   // fields that In does not have are ignored, where other documents with them are refused
	Query        []Param
	Header       []Param
	Status       int    // of a success
	Empty        bool   // it may be 204 too: there is nothing to say
	Out          any    // as In, of the answer
	Type         string // media type of the answer; empty: application/json
	Also         string // another media type, in which the same is answered to who accepts it
	Refuses      []int  // with which status, usual ones aside; also successes besides Status
}

// Bytes is a body that is no document.
type Bytes struct{}

// Document reports whether the body of the request is a document, which is JSON.
func (c *Call) Document() bool { return c.In != nil && c.In != any(Bytes{}) }

// Param is a parameter of a request's query.
type Param struct {
	Name, Type string // a type of JSON Schema
	Does       string
	Required   bool
	Filter     bool // an empty one is refused
}

const refs = "#/components/schemas/"

// name is of a schema: that of the type, with its package before it where that is not package doc.
func name(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch pkg := path.Base(t.PkgPath()); {
	case t.Name() == "":
		return hint
	case pkg == "doc":
		return t.Name()
	default:
		return pkg + "." + t.Name()
	}
}

// Document is the description of all calls, as JSON. version is of the program.
func Document(version string, calls []Call) ([]byte, error) {
	o := describe(version, calls)
	b, err := o.MarshalJSON()
	if err != nil {
		return nil, err
	}
	var v any // in one order, whatever the maps' was
	if err := json.Unmarshal(b, &v); err != nil {
		return nil, err
	}
	return json.MarshalIndent(v, "", " ")
}

func describe(version string, calls []Call) *huma.OpenAPI {
	b := builder{registry: huma.NewMapRegistry(refs, name), strict: map[string]bool{}}
	o := &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{Title: "diskcast", Version: version, Description: "The interface of a diskcast server. " +
			"docs/operator-api.md and docs/node-api.md say what each field means. A refusal is a problem document " +
			"(RFC 9457) with a code. Answers may have further fields in later versions.",
			License: &huma.License{Name: "Apache-2.0"}},
		Paths: map[string]*huma.PathItem{},
		Components: &huma.Components{Schemas: b.registry, SecuritySchemes: map[string]*huma.SecurityScheme{
			"token": {Type: "http", Scheme: "bearer", Description: "a named token of an operator, or a node's own"}}},
	}
	for i := range calls {
		c := &calls[i]
		item := o.Paths[c.path()]
		if item == nil {
			item = &huma.PathItem{}
			o.Paths[c.path()] = item
		}
		*place(item, c.Method) = b.operation(c)
	}
	b.open()
	return o
}

// path is the call's path without the mark by which http.ServeMux knows one that has nothing below it.
func (c *Call) path() string { return strings.TrimSuffix(c.Path, "{$}") }

func place(item *huma.PathItem, method string) **huma.Operation {
	switch method {
	case http.MethodPost:
		return &item.Post
	case http.MethodPut:
		return &item.Put
	case http.MethodPatch:
		return &item.Patch
	case http.MethodDelete:
		return &item.Delete
	}
	return &item.Get
}

func operationOf(o *huma.OpenAPI, c *Call) *huma.Operation {
	return *place(o.Paths[c.path()], c.Method)
}

type builder struct {
	registry huma.Registry
	strict   map[string]bool // schemas of requests in which an unknown field is refused
}

// id names a call for generators of clients: getMachinesByMachine.
func id(c *Call) string {
	var s strings.Builder
	s.WriteString(strings.ToLower(c.Method))
	for part := range strings.SplitSeq(strings.TrimPrefix(c.path(), "/v1"), "/") {
		if p, ok := strings.CutPrefix(part, "{"); ok {
			part = "by-" + strings.TrimSuffix(p, "}")
		}
		for word := range strings.FieldsFuncSeq(part, func(r rune) bool { return r == '-' || r == '.' }) {
			s.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	if c.path() == "/v1/" {
		return "getPage"
	}
	return s.String()
}

// group is under which heading a call is shown.
func group(c *Call) string {
	part := strings.Split(strings.TrimPrefix(c.path(), "/v1/"), "/")[0]
	if !strings.HasPrefix(c.Path, "/v1/") || part == "" || part == "openapi.json" {
		return "server"
	}
	return part
}

func (b *builder) operation(c *Call) *huma.Operation {
	op := &huma.Operation{OperationID: id(c), Summary: c.Does, Tags: []string{group(c)},
		Responses: map[string]*huma.Response{}, Extensions: map[string]any{}}
	if c.Who != "" {
		op.Security = []map[string][]string{{"token": {}}}
		op.Extensions["x-role"], op.Extensions["x-machines"] = c.Who, c.Machines
	}
	for part := range strings.SplitSeq(c.path(), "/") {
		if p, ok := strings.CutPrefix(part, "{"); ok {
			n := strings.TrimSuffix(p, "}")
			op.Parameters = append(op.Parameters, &huma.Param{Name: n, In: "path", Required: true,
				Schema: &huma.Schema{Type: huma.TypeString}, Description: inPath[n]})
		}
	}
	for _, p := range c.Query {
		schema := &huma.Schema{Type: p.Type}
		if least := 1; p.Filter {
			schema.MinLength = &least
		}
		op.Parameters = append(op.Parameters, &huma.Param{Name: p.Name, In: "query", Required: p.Required,
			Description: p.Does, Schema: schema})
	}
	for _, p := range c.Header {
		op.Parameters = append(op.Parameters, &huma.Param{Name: p.Name, In: "header", Required: p.Required,
			Description: p.Does, Schema: &huma.Schema{Type: p.Type}})
	}
	if c.In != nil {
		op.Extensions["x-max-bytes"] = c.Body
		kind, schema := b.body(c.In, "")
		if !c.Lenient {
			b.reach(schema, b.strict)
		}
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{kind: {Schema: schema}}}
	}
	ok := &huma.Response{Description: http.StatusText(c.Status)}
	if c.Out != nil {
		kind, schema := b.body(c.Out, c.Type)
		ok.Content = map[string]*huma.MediaType{kind: {Schema: schema}}
		if c.Also != "" {
			ok.Content[c.Also] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
		}
	}
	op.Responses[strconv.Itoa(c.Status)] = ok
	if c.Empty {
		op.Responses["204"] = &huma.Response{Description: "nothing to say yet"}
	}
	for _, status := range c.refusals() {
		if status == http.StatusRequestedRangeNotSatisfiable { // net/http answers it
			op.Responses["416"] = &huma.Response{Description: http.StatusText(status),
				Content: map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{Type: huma.TypeString}}}}
			continue
		}
		if status < 400 {
			r := &huma.Response{Description: http.StatusText(status)}
			if status != http.StatusNotModified {
				r.Content = ok.Content
			}
			op.Responses[strconv.Itoa(status)] = r
			continue
		}
		_, schema := b.body(doc.Error{}, "")
		var codes []string
		for _, p := range doc.Problems() {
			if p.Status == status {
				codes = append(codes, p.Code)
			}
		}
		op.Responses[strconv.Itoa(status)] = &huma.Response{
			Description: fmt.Sprintf("%s (%s)", http.StatusText(status), strings.Join(codes, ", ")),
			Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: schema}}}
	}
	return op
}

// refusals are all that a call may be refused with, those that go without saying among them.
func (c *Call) refusals() []int {
	out := slices.Clone(c.Refuses)
	out = append(out, http.StatusRequestEntityTooLarge) // where there is no body, a body is too large
	if c.Who != "" {
		out = append(out, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
			http.StatusTooManyRequests)
	}
	if c.Who != "" || c.In != nil || len(c.Query)+len(c.Header) > 0 {
		out = append(out, http.StatusBadRequest)
	}
	if c.Document() {
		out = append(out, http.StatusUnsupportedMediaType)
	}
	out = append(out, http.StatusInternalServerError, http.StatusServiceUnavailable)
	slices.Sort(out)
	return slices.Compact(out)
}

// body is the media type and the schema of a request's or an answer's body.
func (b *builder) body(v any, kind string) (string, *huma.Schema) {
	switch {
	case v == Bytes{} && kind == "":
		return "application/octet-stream", &huma.Schema{}
	case v == Bytes{}:
		return kind, &huma.Schema{}
	case kind == "":
		kind = "application/json"
	}
	return kind, b.registry.Schema(reflect.TypeOf(v), true, "")
}

// reach notes the schemas that one refers to.
func (b *builder) reach(s *huma.Schema, seen map[string]bool) {
	if s == nil {
		return
	}
	if s.Ref != "" {
		n := strings.TrimPrefix(s.Ref, refs)
		if seen[n] {
			return
		}
		seen[n] = true
		s = b.registry.Map()[n]
	}
	b.reach(s.Items, seen)
	if more, ok := s.AdditionalProperties.(*huma.Schema); ok {
		b.reach(more, seen)
	}
	for _, k := range slices.Sorted(maps.Keys(s.Properties)) {
		b.reach(s.Properties[k], seen)
	}
}

// open allows further fields in what is only answered, or read leniently: a client must not break on a newer server.
func (b *builder) open() {
	for n, s := range b.registry.Map() {
		if refused, ok := s.AdditionalProperties.(bool); ok && !refused && !b.strict[n] {
			s.AdditionalProperties = true
		}
		unsized(s)
	}
}

// unsized takes the widths of integers away: huma says int32 of a uint32 too, whose upper half that denies.
func unsized(s *huma.Schema) {
	if s == nil {
		return
	}
	if s.Type == huma.TypeInteger {
		s.Format = ""
	}
	unsized(s.Items)
	if more, ok := s.AdditionalProperties.(*huma.Schema); ok {
		unsized(more)
	}
	for _, p := range s.Properties {
		unsized(p)
	}
}

// inPath says what each parameter of a path names.
var inPath = map[string]string{
	"node":     "a node's name, any MAC address of it, or the id or name of its machine",
	"machine":  "a machine's id, its name, or a MAC address of any of its NICs",
	"id":       "the id of what was made",
	"image":    "an image's name or digest",
	"name":     "the name to give",
	"digest":   "sha256: and 64 hex digits",
	"frame":    "the BLAKE3 sum in hex, a dash, and the decoded size in bytes",
	"receiver": "the name of one who is told what happens",
	"token":    "a token's name",
	"lease":    "an IPv4 or a MAC address",
}
