package web

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/diskcast/diskcast/internal/personal"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/web/openapi"
)

// Statuses by which requests are refused that not every request knows.
const (
	conflict = http.StatusConflict
	gone     = http.StatusGone
	refused  = http.StatusUnprocessableEntity
	noSpace  = http.StatusInsufficientStorage
	ndjson   = "application/x-ndjson"
	htmlPage = "text/html"
	textual  = "text/plain"
)

// says is a contract of a request without a document; takes of one with a document.
func says(status int, out any, refuses ...int) openapi.Call {
	return openapi.Call{Status: status, Out: out, Refuses: refuses}
}

func takes(in any, status int, out any, refuses ...int) openapi.Call {
	return openapi.Call{In: in, Status: status, Out: out, Refuses: refuses}
}

// asking adds parameters of the query to a contract.
func asking(c openapi.Call, query ...openapi.Param) openapi.Call {
	c.Query = query
	return c
}

// inParts is asking of a list that may be asked for in parts.
func inParts(c openapi.Call, query ...openapi.Param) openapi.Call {
	c.Refuses = append(c.Refuses, gone)
	return asking(c, append(query, count("limit", "elements at most, up to 1000; without limit and cursor: all"),
		text("cursor", "go on after a part: from its Link header"))...)
}

// keyed has a request take a key, by which it is not done twice.
func keyed(c openapi.Call) openapi.Call {
	c.Refuses = append(c.Refuses, conflict, refused)
	c.Header = []openapi.Param{text(idempotencyKey, "a word for this one thing: asked for again, it is not made again")}
	return c
}

// ofNode makes a contract of a node's: what its document has too much is ignored, for the node may be of a later build.
func ofNode(c openapi.Call) openapi.Call {
	c.Lenient = true
	return c
}

// maybe has the answer be 204 when there is nothing to say.
func maybe(c openapi.Call) openapi.Call {
	c.Empty = true
	return c
}

// as gives the answer another type than JSON.
func as(kind string, c openapi.Call) openapi.Call {
	c.Type = kind
	return c
}

func text(name, does string) openapi.Param {
	return openapi.Param{Name: name, Type: "string", Does: does}
}

// filter is a text that leaves out what it does not fit. An empty one is refused, for it would leave out nothing.
func filter(name, does string) openapi.Param {
	p := text(name, does)
	p.Filter = true
	return p
}

func needed(p openapi.Param) openapi.Param {
	p.Required = true
	return p
}

func count(name, does string) openapi.Param {
	return openapi.Param{Name: name, Type: "integer", Does: does}
}

func yes(name, does string) openapi.Param {
	return openapi.Param{Name: name, Type: "boolean", Does: does}
}

// Parameters that several requests have.
var (
	afterSerial = count("after", "wait for what is newer than this serial")
	waitFor     = text("wait", "how long to wait for that, such as 30s; at most a minute")
	ofSession   = text("session", "of this session only")
	diskSize    = needed(count("disk", "size of the captured disk, in bytes"))
	configSize  = needed(count("config", "length of the config, which the index follows, in bytes"))
	ofUpload    = []openapi.Param{needed(text("name", "of the image")), text("level", "fast, default or small"),
		yes("replace", "take the name from the image that has it"), count("size", "of the file, in bytes")}
	ofImport = []openapi.Param{diskSize, needed(count("grid", "size of a cell, in bytes")),
		needed(text("level", "fast, default, small or best")), needed(text("name", "of the image")),
		text("parent", "an image whose chunks are preferred")}
)

// contracts are what each request of the table takes and answers, by its pattern. A test holds that there is one for
// each, and another that what is answered is what is said here.
func contracts() map[string]openapi.Call {
	const ok, created, none = http.StatusOK, http.StatusCreated, http.StatusNoContent
	frame := says(ok, session.FrameReply{}, refused)
	put := takes(openapi.Bytes{}, none, nil, refused, noSpace)
	finish := takes(openapi.Bytes{}, ok, session.CaptureReply{}, conflict, refused, noSpace)
	blob := says(ok, openapi.Bytes{}, http.StatusPartialContent, http.StatusNotModified, http.StatusBadRequest,
		http.StatusRequestedRangeNotSatisfiable)
	lines := as(ndjson, says(ok, doc.Line{}))
	lines.Also = eventStream
	followed := as(ndjson, says(ok, doc.Line{}, gone, refused))
	followed.Also = eventStream
	profile := asking(says(ok, openapi.Bytes{}), text("seconds", "how long to look; 30 for a profile"),
		count("debug", "1 or 2: as text"), count("gc", "1: collect garbage before, of heap"))
	profile.Also = textual
	return map[string]openapi.Call{
		"POST /v1/node/hello": ofNode(takes(session.Hello{},
			ok, session.HelloReply{}, refused)),
		"GET /v1/node/{node}/descriptor": maybe(asking(says(ok,
			session.Descriptor{}), afterSerial, waitFor)),
		"POST /v1/node/{node}/events": ofNode(takes(session.Events{}, none, nil, refused)),
		"POST /v1/node/{node}/disk": ofNode(takes(session.DiskChoice{},
			ok, session.DiskChoice{}, refused)),
		"POST /v1/node/{node}/look": ofNode(takes(session.LookResult{}, none, nil, refused)),
		"POST /v1/node/{node}/menu": ofNode(takes(session.MenuChoice{},
			ok, session.MenuReply{}, refused)),
		"POST /v1/node/{node}/personalization": ofNode(takes(session.PersonalAsk{},
			ok, personal.Document{}, refused)),
		"GET /v1/node/{node}/captures/{id}/frames/{frame}": asking(frame, diskSize),
		"PUT /v1/node/{node}/captures/{id}/frames/{frame}": asking(put, diskSize),
		"POST /v1/node/{node}/captures/{id}/finish":        asking(finish, diskSize, configSize),
		"GET /v1/blobs/{digest}":                           blob,
		"GET /v1/objects/{digest}":                         blob,

		"GET /v1/events": asking(followed,
			text("after", "a cursor: what came after that line"), filter("session", "of this session only"),
			filter("node", "of this node only")),
		"GET /v1/sessions": inParts(says(ok, []doc.Session{}),
			filter("state", "waiting, going, over, done, failed or cancelled")),
		"POST /v1/sessions":             keyed(takes(doc.Spec{}, created, doc.Session{})),
		"POST /v1/sessions/plan":        takes(doc.Spec{}, ok, doc.Plan{}, refused),
		"GET /v1/sessions/{id}":         says(ok, doc.Session{}),
		"POST /v1/sessions/{id}/cancel": says(ok, doc.Session{}, refused),
		"POST /v1/sessions/{id}/go":     says(ok, doc.Session{}, refused),
		"POST /v1/sessions/{id}/retry":  keyed(says(created, doc.Session{})),
		"PATCH /v1/sessions/{id}":       takes(doc.SessionChange{}, ok, doc.Session{}, refused),
		"DELETE /v1/sessions/{id}":      says(none, nil, refused),
		"GET /v1/sessions/{id}/watch":   lines,
		"GET /v1/repeats":               inParts(says(ok, []doc.Repeat{})),
		"POST /v1/repeats":              keyed(takes(doc.RepeatSpec{}, created, doc.Repeat{})),
		"GET /v1/repeats/{id}":          says(ok, doc.Repeat{}),
		"DELETE /v1/repeats/{id}":       says(none, nil),
		"GET /v1/receipts":              inParts(says(ok, []json.RawMessage{}), ofSession),
		"GET /v1/receipts/page": asking(as(htmlPage, says(ok, openapi.Bytes{})),
			ofSession),
		"GET /v1/nodes":        inParts(says(ok, []doc.Node{})),
		"GET /v1/nodes/{node}": says(ok, doc.Node{}, refused),
		"DELETE /v1/nodes/{node}": asking(says(none, nil, refused),
			yes("force", "forget also that its disk is half-written")),
		"GET /v1/nodes/{node}/log": asking(says(ok, []doc.Event{}, refused), count("limit", "lines at most; 100"),
			yes("all", "all steps, not only log lines, warnings and errors")),
		"POST /v1/nodes/{node}/look": says(ok, doc.NodeLook{}, refused),
		"GET /v1/machines": inParts(says(ok, []doc.Machine{}, refused),
			filter("select", "a selector: those that it fits")),
		"POST /v1/machines":                   takes(doc.MachinesChange{}, ok, []doc.Machine{}, refused),
		"GET /v1/lab":                         says(ok, doc.Lab{}),
		"POST /v1/lab":                        takes(doc.LabChange{}, ok, doc.LabResult{}, refused),
		"GET /v1/machines/{machine}":          says(ok, doc.Machine{}, refused),
		"PATCH /v1/machines/{machine}":        takes(doc.MachineChange{}, ok, doc.Machine{}, refused),
		"POST /v1/machines/{machine}/merge":   takes(doc.MachineMerge{}, ok, doc.Machine{}, refused),
		"POST /v1/machines/{machine}/split":   takes(doc.MachineSplit{}, ok, doc.Machine{}, refused),
		"POST /v1/machines/{machine}/trust":   says(ok, doc.Machine{}, refused),
		"DELETE /v1/machines/{machine}":       says(none, nil, refused),
		"GET /v1/machines/{machine}/power":    says(ok, doc.Power{}, refused),
		"PUT /v1/machines/{machine}/power":    takes(doc.PowerSet{}, ok, doc.Power{}, refused),
		"DELETE /v1/machines/{machine}/power": says(ok, doc.Power{}, refused),
		"GET /v1/machines/{machine}/console": asking(says(ok, doc.Console{}, conflict, refused),
			count("after", "what stands behind this place"), waitFor, text("state", "do not wait in another state"),
			yes("text", "as text, without what a terminal would heed")),
		"POST /v1/machines/{machine}/console":      takes(doc.ConsoleOpen{}, ok, doc.Console{}, conflict, refused),
		"DELETE /v1/machines/{machine}/console":    says(none, nil, conflict, refused),
		"POST /v1/machines/{machine}/console/keys": takes(doc.ConsoleKeys{}, none, nil, conflict, refused),
		"POST /v1/power":                           keyed(takes(doc.PowerSpec{}, ok, doc.PowerRun{})),
		"GET /v1/power/{id}":                       asking(says(ok, doc.PowerRun{}), afterSerial, waitFor),
		"POST /v1/power/{id}/cancel":               says(ok, doc.PowerRun{}),
		"GET /v1/notify":                           says(ok, []doc.NotifyReceiver{}),
		"POST /v1/notify/test": takes(doc.NotifyTest{}, ok, []doc.NotifyResult{},
			refused),
		"POST /v1/notify/finding":          takes(doc.NotifyFinding{}, ok, doc.NotifyFinding{}),
		"PUT /v1/notify/{receiver}/secret": takes(doc.NotifySecret{}, ok, doc.NotifyReceiver{}, refused),
		"GET /v1/images": inParts(says(ok, []doc.ImageRow{}, conflict),
			filter("name", "a pattern, such as lab-*: those whose name it fits")),
		"GET /v1/images/{image}": asking(says(ok, doc.Image{}, conflict, refused),
			count("map", "parts of a map of the disk")),
		"GET /v1/images/{image}/diff": asking(says(ok, doc.ImageDiff{}, conflict, refused),
			needed(text("from", "the image to compare with")), yes("extents", "also which runs of bytes differ")),
		"PUT /v1/images/{image}/names/{name}": says(ok, doc.ImageName{}, conflict, refused),
		"DELETE /v1/images/{image}":           says(ok, doc.ImageRemoved{}, conflict, refused),
		"GET /v1/imports/{id}/frames/{frame}": asking(frame, ofImport...),
		"PUT /v1/imports/{id}/frames/{frame}": asking(put, ofImport...),
		"POST /v1/imports/{id}/finish":        asking(finish, append([]openapi.Param{configSize}, ofImport...)...),
		"DELETE /v1/imports/{id}":             says(none, nil, http.StatusBadRequest),
		"GET /v1/uploads":                     asking(says(none, nil, conflict, refused, noSpace), ofUpload...),
		"POST /v1/uploads": asking(takes(openapi.Bytes{}, created, doc.Job{}, conflict, refused, noSpace),
			ofUpload...),
		"GET /v1/jobs":                 inParts(says(ok, []doc.Job{})),
		"POST /v1/jobs":                keyed(takes(doc.JobSpec{}, created, doc.Job{})),
		"GET /v1/jobs/{id}":            asking(says(ok, doc.Job{}), afterSerial, waitFor),
		"POST /v1/jobs/{id}/cancel":    says(ok, doc.Job{}),
		"GET /v1/tokens":               inParts(says(ok, []doc.Token{})),
		"POST /v1/tokens":              takes(doc.TokenSpec{}, created, doc.TokenMade{}, conflict, refused),
		"DELETE /v1/tokens/{token}":    says(none, nil, refused),
		"POST /v1/tokens/{token}/link": takes(doc.LoginLinkSpec{}, created, doc.LoginLink{}, refused),
		"GET /v1/audit": asking(says(ok, doc.Audit{}), count("after", "the entries above this number"),
			count("limit", "entries at most; 1000")),
		"GET /v1/dhcp":                   says(ok, doc.DHCP{}),
		"DELETE /v1/dhcp/leases/{lease}": says(none, nil, http.StatusBadRequest, refused),
		"GET /v1/doctor":                 asking(says(ok, doc.Doctor{}), afterSerial, waitFor),
		"POST /v1/doctor":                says(ok, doc.Doctor{}),
		"GET /v1/{$}":                    as(htmlPage, says(ok, openapi.Bytes{})),
		"GET /v1/openapi.json":           says(ok, map[string]any{}),
		"GET /healthz":                   as(textual, says(ok, openapi.Bytes{})),
		"GET /readyz":                    as(textual, says(ok, openapi.Bytes{})),
		"GET /metrics":                   as("text/plain", says(ok, openapi.Bytes{})),
		"GET /debug/pprof/{name}":        profile,
	}
}

// Calls are the requests of the table as they are described to others.
func Calls() ([]openapi.Call, error) {
	agreed := contracts()
	var out []openapi.Call
	for _, rt := range Routes() {
		c, ok := agreed[rt.Pattern()]
		if !ok {
			return nil, fmt.Errorf("%s has no contract", rt.Pattern())
		}
		c.Method, c.Path, c.Does, c.Body = rt.Method, rt.Path, rt.Does, rt.Body
		if rt.Role != Anyone {
			c.Who, c.Machines = string(rt.Role), string(rt.Scope)
		}
		out = append(out, c)
	}
	return out, nil
}
