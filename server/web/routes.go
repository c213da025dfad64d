package web

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/access"
	"github.com/diskcast/diskcast/server/engine"
	"github.com/diskcast/diskcast/server/library"
	"github.com/diskcast/diskcast/server/library/images"
)

// Role says who may call a route.
type Role string

// Roles.
const (
	Anyone   Role = "anyone"
	Node     Role = "node"   // the one that the path names
	Reader   Role = "reader" // an operator, or a node whose descriptor names an image with the digest in the path
	Viewer   Role = access.Viewer
	Operator Role = access.Operator
	Admin    Role = access.Admin
)

// Scope says what a route is to a token that is held to some of the machines.
type Scope string

// Scopes.
const (
	Nobody     Scope = "-"            // it is asked with no token of an operator's
	Whole      Scope = "all machines" // such a token is refused
	Free       Scope = "any"          // it is about no machine
	Narrowed   Scope = "within"       // what is shown, made or changed is of its machines alone
	ItsMachine Scope = "its machine"  // the path names one of its machines, or nothing that is there
	ItsNode    Scope = "its node"     // so it does a node of one
	ItsSession Scope = "its session"  // a session all of whose machines are its own
	ItsRepeat  Scope = "its repeat"   // a repeating session of such
	ItsPower   Scope = "its power"    // work on the power of such
)

// Route is one line of the table that the mux, the authentication and the limits are made from.
type Route struct {
	Method, Path string
	Role         Role
	Scope        Scope
	Body         int64         // bytes of a request's body at most; 0: it has none
	Time         time.Duration // that a body may take to come
	Does         string        // in a few words
	handle       handler
}

// handler answers a request that is allowed; node is the one that asks, of a route for nodes.
type handler func(a *API, w http.ResponseWriter, r *http.Request, node string)

// Limits of routes that take a document.
const (
	docBody = maxBody
	docTime = 30 * time.Second
	labBody = 16 << 20 // 20,000 machines
	// Keys at a console: doc.MaxConsoleKeys in base64.
	keysBody = 8 << 10
)

// plainly makes a handler of one that does not ask which node it is.
func plainly(h func(*API, http.ResponseWriter, *http.Request)) handler {
	return func(a *API, w http.ResponseWriter, r *http.Request, _ string) { h(a, w, r) }
}

// Routes returns the table.
func Routes() []Route {
	return []Route{
		{"POST", "/v1/node/hello", Anyone, Nobody, maxHello, helloPatience,
			"a node says what machine it is and gets a token",
			plainly((*API).hello)},
		{"GET", "/v1/node/{node}/descriptor", Node, Nobody, 0, 0, "wait for what the node is to do", (*API).descriptor},
		{"POST", "/v1/node/{node}/events", Node, Nobody, docBody, docTime, "report events", (*API).events},
		{"POST", "/v1/node/{node}/disk", Node, Nobody, docBody, docTime,
			"say which disk the first plan chose", (*API).disk},
		{"POST", "/v1/node/{node}/look", Node, Nobody, docBody, docTime,
			"say what the node saw when it was asked to look",
			(*API).looked},
		{"POST", "/v1/node/{node}/menu", Node, Nobody, docBody, docTime, "say what was chosen at the node's console",
			(*API).chosen},
		{"POST", "/v1/node/{node}/personalization", Node, Nobody, docBody, docTime,
			"be given what is the node's own, once",
			(*API).personalization},
		{"GET", "/v1/node/{node}/captures/{id}/frames/{frame}", Node, Nobody, 0, 0, "ask whether a frame need be sent",
			(*API).hasFrame},
		{"PUT", "/v1/node/{node}/captures/{id}/frames/{frame}", Node, Nobody, maxFrame, 2 * time.Minute, "send a frame",
			(*API).putFrame},
		{"POST", "/v1/node/{node}/captures/{id}/finish", Node, Nobody,
			image.MaxConfig + image.MaxIndex, 10 * time.Minute,
			"make the image of what was sent", (*API).finishCapture},
		{"GET", "/v1/blobs/{digest}", Reader, Whole, 0, 0, "read a blob, or ranges of it", plainly((*API).blob)},
		{"GET", "/v1/objects/{digest}", Reader, Whole, 0, 0, "read the object of an image, or ranges of it",
			plainly((*API).object)},

		{"GET", "/v1/events", Viewer, Narrowed, 0, 0, "follow what changes: a session, a machine, or everything",
			plainly((*API).follow)},
		{"GET", "/v1/sessions", Viewer, Narrowed, 0, 0, "list sessions, oldest first", plainly((*API).listSessions)},
		{"POST", "/v1/sessions", Operator, Narrowed, docBody, docTime,
			"create a session", once(plainly((*API).createSession))},
		{"POST", "/v1/sessions/plan", Operator, Narrowed, docBody, docTime,
			"say what a session would do to each machine",
			plainly((*API).planSession)},
		{"GET", "/v1/sessions/{id}", Viewer, ItsSession, 0, 0, "show a session", plainly((*API).showSession)},
		{"POST", "/v1/sessions/{id}/cancel", Operator, ItsSession, 0, 0, "end a session; its nodes go idle",
			plainly((*API).cancelSession)},
		{"POST", "/v1/sessions/{id}/go", Operator, ItsSession, 0, 0, "start a session with the nodes that are there",
			plainly((*API).goSession)},
		{"POST", "/v1/sessions/{id}/retry", Operator, ItsSession, 0, 0,
			"make a session of what is not done of one that is over",
			once(plainly((*API).retrySession))},
		{"PATCH", "/v1/sessions/{id}", Operator, ItsSession, docBody, docTime,
			"change what may still be changed of a session",
			plainly((*API).editSession)},
		{"DELETE", "/v1/sessions/{id}", Operator, ItsSession, 0, 0, "forget a session that is over; its receipts stay",
			plainly((*API).removeSession)},
		{"GET", "/v1/sessions/{id}/watch", Viewer, ItsSession, 0, 0, "follow a session until it is over",
			plainly((*API).watchSession)},
		{"GET", "/v1/repeats", Viewer, Narrowed, 0, 0,
			"list repeating sessions, oldest first", plainly((*API).listRepeats)},
		{"POST", "/v1/repeats", Operator, Narrowed, docBody, docTime, "make a session again and again",
			once(plainly((*API).createRepeat))},
		{"GET", "/v1/repeats/{id}", Viewer, ItsRepeat, 0, 0, "show a repeating session", plainly((*API).showRepeat)},
		{"DELETE", "/v1/repeats/{id}", Operator, ItsRepeat, 0, 0, "forget a repeating session; those made of it stay",
			plainly((*API).removeRepeat)},
		{"GET", "/v1/receipts", Viewer, Narrowed, 0, 0,
			"read receipts: ?session= of one, or all", plainly((*API).receipts)},
		{"GET", "/v1/receipts/page", Viewer, Narrowed, 0, 0,
			"read receipts as a page of HTML: ?session= of one, or all",
			plainly((*API).receiptPage)},
		{"GET", "/v1/nodes", Viewer, Narrowed, 0, 0, "list nodes", plainly((*API).listNodes)},
		{"GET", "/v1/nodes/{node}", Viewer, ItsNode, 0, 0, "show a node", plainly((*API).showNode)},
		{"DELETE", "/v1/nodes/{node}", Operator, ItsNode, 0, 0,
			"forget a node and its log", plainly((*API).forgetNode)},
		{"GET", "/v1/nodes/{node}/log", Viewer, ItsNode, 0, 0,
			"show the last events of a node", plainly((*API).nodeLog)},
		{"POST", "/v1/nodes/{node}/look", Operator, ItsNode, 0, 0,
			"have a node look at its network, and wait for what it says",
			plainly((*API).lookFrom)},
		{"GET", "/v1/machines", Viewer, Narrowed, 0, 0, "list machines", plainly((*API).listMachines)},
		{"POST", "/v1/machines", Operator, Narrowed, docBody, docTime, "change all machines that a selector fits",
			plainly((*API).changeMachines)},
		{"GET", "/v1/lab", Viewer, Narrowed, 0, 0, "show groups, profiles, rules and menus", plainly((*API).showLab)},
		{"POST", "/v1/lab", Admin, Whole, labBody, docTime,
			"change machines, groups, profiles, rules and menus, all or nothing", plainly((*API).changeLab)},
		{"GET", "/v1/machines/{machine}", Viewer, ItsMachine, 0, 0, "show a machine", plainly((*API).showMachine)},
		{"PATCH", "/v1/machines/{machine}", Operator, ItsMachine, docBody, docTime,
			"enter a name, notes or labels of a machine",
			plainly((*API).editMachine)},
		{"POST", "/v1/machines/{machine}/merge", Admin, Whole, docBody, docTime, "make one machine of two",
			plainly((*API).mergeMachine)},
		{"POST", "/v1/machines/{machine}/split", Admin, Whole, docBody, docTime, "make a machine of its own of a node",
			plainly((*API).splitMachine)},
		{"POST", "/v1/machines/{machine}/trust", Admin, Whole, 0, 0,
			"make a machine's NICs its alone, and end what was odd", plainly((*API).trustMachine)},
		{"DELETE", "/v1/machines/{machine}", Operator, ItsMachine, 0, 0, "forget a machine and what was entered of it",
			plainly((*API).removeMachine)},
		{"GET", "/v1/machines/{machine}/power", Viewer, ItsMachine, 0, 0, "show how a machine's power is reached",
			powering((*API).showPower)},
		{"PUT", "/v1/machines/{machine}/power", Admin, Whole, docBody, docTime, "say how a machine's power is reached",
			powering((*API).setPower)},
		{"DELETE", "/v1/machines/{machine}/power", Admin, Whole, 0, 0, "forget how a machine's power is reached",
			powering((*API).forgetPower)},
		{"GET", "/v1/machines/{machine}/console", Operator, ItsMachine, 0, 0,
			"read what a machine's serial console printed, and wait for more", consoling((*API).readConsole)},
		{"POST", "/v1/machines/{machine}/console", Operator, ItsMachine, docBody, docTime,
			"open a machine's serial console", consoling((*API).openConsole)},
		{"DELETE", "/v1/machines/{machine}/console", Operator, ItsMachine, 0, 0,
			"close a machine's serial console", consoling((*API).closeConsole)},
		{"POST", "/v1/machines/{machine}/console/keys", Operator, ItsMachine, keysBody, keysTime,
			"type at a machine's serial console", consoling((*API).typeConsole)},
		{"POST", "/v1/power", Operator, Narrowed, docBody, docTime, "switch machines",
			once(powering((*API).startPower))},
		{"GET", "/v1/power/{id}", Viewer, ItsPower, 0, 0, "follow work on power", powering((*API).showPowerRun)},
		{"POST", "/v1/power/{id}/cancel", Operator, ItsPower, 0, 0, "end work on power", powering((*API).cancelPower)},
		{"GET", "/v1/notify", Viewer, Whole, 0, 0, "show who is told what happens, and what waits to be told",
			notifying((*API).listNotify)},
		{"POST", "/v1/notify/test", Operator, Whole, docBody, docTime, "tell a word at once, and show the answers",
			notifying((*API).testNotify)},
		{"POST", "/v1/notify/finding", Operator, Whole, docBody, docTime,
			"have a finding told to those who asked for them",
			notifying((*API).tellFinding)},
		{"PUT", "/v1/notify/{receiver}/secret", Admin, Whole, docBody, docTime, "store a receiver's key or password",
			notifying((*API).setNotifySecret)},
		{"GET", "/v1/images", Viewer, Free, 0, 0, "list images, with their notes", plainly((*API).listImages)},
		{"GET", "/v1/images/{image}", Viewer, Free, 0, 0, "show an image", inLibrary((*API).showImage)},
		{"GET", "/v1/images/{image}/diff", Viewer, Free, 0, 0, "compare an image with another",
			inLibrary((*API).diffImage)},
		{"PUT", "/v1/images/{image}/names/{name}", Operator, Whole, 0, 0,
			"give an image a name", inLibrary((*API).tagImage)},
		{"DELETE", "/v1/images/{image}", Operator, Whole, 0, 0, "take away a name, or by its digest an image",
			inLibrary((*API).removeImage)},
		{"GET", "/v1/imports/{id}/frames/{frame}", Operator, Whole, 0, 0,
			"ask whether a frame of an image need be sent",
			importing((*API).hasImported)},
		{"PUT", "/v1/imports/{id}/frames/{frame}", Operator, Whole, maxFrame, 2 * time.Minute,
			"send a frame of an image",
			importing((*API).putImported)},
		{"POST", "/v1/imports/{id}/finish", Operator, Whole, image.MaxConfig + image.MaxIndex, 10 * time.Minute,
			"make the image of what was sent", importing((*API).finishImport)},
		{"DELETE", "/v1/imports/{id}", Operator, Whole, 0, 0, "let go of what was sent, for another try",
			plainly((*API).endImport)},
		{"GET", "/v1/uploads", Operator, Whole, 0, 0, "say whether a file would be taken for an image",
			plainly((*API).checkUpload)},
		{"POST", "/v1/uploads", Operator, Whole, library.MaxUpload, silence,
			"send a file, of which a job makes an image", plainly((*API).takeUpload)},
		{"GET", "/v1/jobs", Viewer, Whole, 0, 0, "list long work on images", plainly((*API).listJobs)},
		{"POST", "/v1/jobs", Operator, Whole, docBody, docTime, "start long work", once(plainly((*API).startJob))},
		{"GET", "/v1/jobs/{id}", Viewer, Whole, 0, 0, "follow a job", inLibrary((*API).showJob)},
		{"POST", "/v1/jobs/{id}/cancel", Operator, Whole, 0, 0,
			"end a job; what it did stays", inLibrary((*API).cancelJob)},
		{"GET", "/v1/tokens", Admin, Whole, 0, 0,
			"list named tokens, without what proves them, and who is logged in by the provider",
			plainly((*API).listTokens)},
		{"POST", "/v1/tokens", Admin, Whole, docBody, docTime, "make a named token, which is shown this once",
			plainly((*API).createToken)},
		{"DELETE", "/v1/tokens/{token}", Admin, Whole, 0, 0, "end a named token, or all logins of a person",
			plainly((*API).removeToken)},
		{"POST", "/v1/tokens/{token}/link", Admin, Whole, docBody, docTime,
			"make a link that logs in to the page once, with a named token", plainly((*API).linkToken)},
		{"GET", "/v1/audit", Admin, Whole, 0, 0, "read who changed what: ?after= an entry's number, ?limit=",
			plainly((*API).showAudit)},
		{"GET", "/v1/dhcp", Viewer, Whole, 0, 0, "show what the server does for the LAN's addresses",
			plainly((*API).showDHCP)},
		{"DELETE", "/v1/dhcp/leases/{lease}", Operator, Whole, 0, 0, "free an address", plainly((*API).freeLease)},
		{"GET", "/v1/doctor", Operator, Whole, 0, 0, "show what the server found that looked at itself",
			plainly((*API).showDoctor)},
		{"POST", "/v1/doctor", Operator, Whole, 0, 0, "have the server look at itself, unless it just did",
			plainly((*API).askDoctor)},

		{"GET", "/v1/{$}", Anyone, Nobody, 0, 0, "read about all requests, as a page of HTML",
			plainly((*API).apiPage)},
		{"GET", "/v1/openapi.json", Anyone, Nobody, 0, 0, "read about all requests, as OpenAPI 3.1",
			plainly((*API).apiDocument)},

		{"GET", "/healthz", Anyone, Nobody, 0, 0, "say whether the server lives", plainly((*API).healthz)},
		{"GET", "/readyz", Anyone, Nobody, 0, 0, "say whether the server can do its work", plainly((*API).readyz)},
		{"GET", "/metrics", Viewer, Whole, 0, 0,
			"read what the server counts, for Prometheus", plainly((*API).figures)},
		{"GET", "/debug/pprof/{name}", Admin, Whole, 0, 0, "read a profile of the running server",
			plainly((*API).profile)},
	}
}

// Pattern is the route as http.ServeMux takes it.
func (r *Route) Pattern() string { return r.Method + " " + r.Path }

// route lays out the mux from the table.
func (a *API) route(table []Route) {
	a.mux, a.routes = http.NewServeMux(), map[string]*Route{}
	agreed := contracts()
	for i := range table {
		rt := &table[i]
		call := agreed[rt.Pattern()]
		a.routes[rt.Pattern()] = rt
		a.mux.HandleFunc(rt.Pattern(), func(w http.ResponseWriter, r *http.Request) {
			node, who, code, err := a.admit(rt, r)
			if r = withHolder(r, who); err == nil {
				if who.Within != "" {
					w = a.narrow(w, r)
				}
				code, err = a.hold(rt, r)
			}
			if err == nil && call.Document() {
				code, err = http.StatusUnsupportedMediaType, maybeJSON(w, r)
			}
			if err != nil {
				a.fail(w, r, code, err)
				return
			}
			if err := queried(rt, call.Query, r); err != nil {
				a.fail(w, r, http.StatusBadRequest, err)
				return
			}
			if rt.Role != Anyone && rt.Body > 0 && !streamed[rt.Pattern()] {
				release, err := a.nodes.take(r, rt.Body, rt.Time)
				if err != nil {
					a.fail(w, r, http.StatusServiceUnavailable, err)
					return
				}
				defer release()
			}
			if rt.recorded() {
				a.change(rt, w, r, node)
				return
			}
			rt.handle(a, w, r, node)
		})
	}
}

func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.count(w, r, a.serve) }

func (a *API) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	rt := a.routeOf(r, r.Method)
	switch {
	case rt == nil && r.URL.Path == "/v1": // what is below it has a page of its own
		http.Redirect(w, r, "/v1/", http.StatusPermanentRedirect)
		return
	case rt == nil:
		if allowed := a.allowed(r); len(allowed) > 0 { // RFC 9110, 15.5.6
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			a.fail(w, r, http.StatusMethodNotAllowed, fmt.Errorf("%s has no %s: it takes %s", r.URL.Path,
				plain.Line(r.Method, 20), strings.Join(allowed, ", ")))
			return
		}
		a.fail(w, r, http.StatusNotFound, fmt.Errorf("%w: %s %s", errNoEndpoint, r.Method, r.URL.Path))
		return
	case rt.Body == 0 && r.ContentLength != 0:
		a.fail(w, r, http.StatusRequestEntityTooLarge, errors.New("this request has no body"))
		return
	case r.ContentLength > rt.Body:
		a.fail(w, r, http.StatusRequestEntityTooLarge, fmt.Errorf("the document is larger than %d bytes", rt.Body))
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, rt.Body)
	if rt.Body > 0 {
		// A body that trickles in would hold its connection for ever. Not every writer has deadlines (tests' do not).
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(rt.Time))
	}
	a.mux.ServeHTTP(w, r)
}

// routeOf is the route of a request if it had the method; nil: there is none.
func (a *API) routeOf(r *http.Request, method string) *Route {
	q := *r
	q.Method = method
	_, pattern := a.mux.Handler(&q)
	return a.routes[pattern]
}

// allowed are the methods that the path of a request takes.
func (a *API) allowed(r *http.Request) (out []string) {
	for _, m := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete} {
		if a.routeOf(r, m) != nil {
			out = append(out, m)
		}
	}
	return out
}

// admit says which node asks, of a route for nodes, or who else, or with which status a request is refused.
func (a *API) admit(rt *Route, r *http.Request) (node string, who access.Holder, code int, err error) {
	token := bearer(r)
	switch rt.Role {
	case Anyone:
		return "", who, 0, nil
	case Node:
		node, err = a.engine.Authorize(token)
		if err == nil && node != r.PathValue("node") {
			err = engine.ErrToken
		}
		return node, who, http.StatusUnauthorized, err
	case Reader:
		digest := r.PathValue("digest")
		if !images.ValidDigest(digest) {
			return "", who, http.StatusBadRequest, errors.New("digest is not sha256: and 64 hex digits")
		}
		if h, ok := a.access.Who(token); ok {
			code, err = mayDo(h, access.Operator)
			return "", h, code, err
		}
		if node, err = a.engine.Authorize(token); err != nil {
			return "", who, http.StatusUnauthorized, err
		}
		if !a.engine.MayRead(node, digest) {
			return "", who, http.StatusForbidden,
				errors.New("the node's descriptor does not name an image with this digest")
		}
		return node, who, 0, nil
	}
	h, inside := r.Context().Value(holderKey{}).(access.Holder) // by As
	if !inside {
		if h, code, err = a.Enter(r, token); err != nil {
			return "", h, code, err
		}
	}
	code, err = mayDo(h, string(rt.Role)) // a role that nobody knows is nobody's
	return "", h, code, err
}

// mayDo refuses who comes with a good token that does not go so far.
func mayDo(h access.Holder, wanted string) (code int, err error) {
	if access.Covers(h.Role, wanted) {
		return 0, nil
	}
	return http.StatusForbidden, fmt.Errorf("%s has the role %s, and this wants %s: an administrator makes "+
		"others (`diskcast token create`)", h.Name, h.Role, wanted)
}
