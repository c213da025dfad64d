package doc

import "net/http"

// Error is the body of every answer that is not a success: a problem document (RFC 9457), application/problem+json.
type Error struct {
	// Type is where the API's page describes the code; Title is the code in words, the same for every refusal of it.
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"` // of HTTP
	Detail string `json:"detail"` // what was refused, why, and what to do
	Code   string `json:"code"`   // one of Problems
	Error  string `json:"error"`  // Detail again, under the name that it had before
	// Kind tells a program what is wrong with an image: damaged, not_found or busy.
	Kind string `json:"kind,omitempty"`
	// Entry is what of a document is wrong, such as machines[3].
	Entry string `json:"entry,omitempty"`
	// Errors are the fields of a request's document that are wrong.
	Errors []FieldError `json:"errors,omitempty"`
}

// FieldError is a field that is wrong. What it holds is not repeated.
type FieldError struct {
	Field string `json:"field"` // such as nodes[2]; empty: the document itself
	Error string `json:"error"`
}

// Codes of refusals.
const (
	ProblemBadRequest   = "bad_request"
	ProblemDocument     = "bad_document"
	ProblemUnauthorized = "unauthorized"
	ProblemForbidden    = "forbidden"
	ProblemNotFound     = "not_found"
	ProblemNoEndpoint   = "no_such_endpoint"
	ProblemMethod       = "no_such_method"
	ProblemConflict     = "conflict"
	ProblemIncomplete   = "incomplete"
	ProblemBusyImage    = "busy"
	ProblemKeyInUse     = "key_in_use"
	ProblemKeyReused    = "key_reused"
	ProblemLost         = "cursor_lost"
	ProblemTooLarge     = "too_large"
	ProblemMediaType    = "not_json"
	ProblemRefused      = "refused"
	ProblemDamaged      = "damaged"
	ProblemTooMany      = "too_many_requests"
	ProblemInternal     = "internal"
	ProblemUnsettled    = "unsettled"
	ProblemHeld         = "held"
	ProblemCrowd        = "crowd"
	ProblemUnavailable  = "unavailable"
	ProblemNoSpace      = "no_space"
	ProblemStateFull    = "state_full"
)

// Problem is a sort of refusal.
type Problem struct {
	Code   string
	Status int
	Title  string
}

// Problems are all sorts of refusals, by status. The first of a status is the one of whom nothing closer is known.
func Problems() []Problem {
	return []Problem{
		{ProblemBadRequest, http.StatusBadRequest, "The request is not understood"},
		{ProblemDocument, http.StatusBadRequest, "The request's document does not fit its schema"},
		{ProblemUnauthorized, http.StatusUnauthorized, "The token is missing, wrong, or has ended"},
		{ProblemForbidden, http.StatusForbidden, "The token does not go so far"},
		{ProblemNotFound, http.StatusNotFound, "There is no such thing"},
		{ProblemNoEndpoint, http.StatusNotFound, "There is no such request"},
		{ProblemMethod, http.StatusMethodNotAllowed, "The path has no such method"},
		{ProblemConflict, http.StatusConflict, "Something else is in the way"},
		{ProblemIncomplete, http.StatusConflict, "Frames of the image have not come yet"},
		{ProblemBusyImage, http.StatusConflict, "The image is in use"},
		{ProblemKeyInUse, http.StatusConflict, "The request with this key is being answered"},
		{ProblemLost, http.StatusGone, "The cursor is too old"},
		{ProblemTooLarge, http.StatusRequestEntityTooLarge, "The body is larger than this request takes"},
		{ProblemMediaType, http.StatusUnsupportedMediaType, "The request says that its document is not JSON"},
		{ProblemRefused, http.StatusUnprocessableEntity, "It is understood, and cannot be done"},
		{ProblemDamaged, http.StatusUnprocessableEntity, "The image is damaged"},
		{ProblemKeyReused, http.StatusUnprocessableEntity, "The key came with another request"},
		{ProblemTooMany, http.StatusTooManyRequests, "Too many requests with wrong tokens"},
		{ProblemInternal, http.StatusInternalServerError, "The server failed"},
		{ProblemUnavailable, http.StatusServiceUnavailable, "The server cannot do it now"},
		{ProblemStateFull, http.StatusServiceUnavailable, "The disk of the server's state is full"},
		{ProblemUnsettled, http.StatusServiceUnavailable, "The boot of the node before may still run"},
		{ProblemHeld, http.StatusServiceUnavailable, "Another node has this address and is there"},
		{ProblemCrowd, http.StatusServiceUnavailable, "Too many new machines come at once"},
		{ProblemNoSpace, http.StatusInsufficientStorage, "The image store is full"},
	}
}

// ProblemType is where the API's page describes a code.
func ProblemType(code string) string { return "/v1/#" + code }

// NewError returns the problem document of a code; where nothing closer than its status is known, code is empty.
func NewError(status int, code, detail string) Error {
	e := Error{Status: status, Code: code, Detail: detail, Error: detail, Title: http.StatusText(status)}
	for _, p := range Problems() {
		if p.Code == code || code == "" && p.Status == status {
			e.Code, e.Title = p.Code, p.Title
			break
		}
	}
	e.Type = ProblemType(e.Code)
	return e
}
