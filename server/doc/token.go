package doc

import "time"

// TokenSpec asks for a named token.
type TokenSpec struct {
	V    int    `json:"v"`
	Name string `json:"name"`
	Role string `json:"role"`           // viewer, operator, admin
	Days int    `json:"days,omitempty"` // that it is good for; 0: without an end
	On   string `json:"on,omitempty"`   // a selector of the machines that it is held to; empty: of all
}

// Token is a named token as it is shown: without what proves it.
type Token struct {
	Name  string    `json:"name"`
	Role  string    `json:"role"`
	On    string    `json:"on,omitempty"` // selector of the machines that it is held to; absent: of all
	Made  time.Time `json:"made"`
	Until time.Time `json:"until,omitzero"`  // absent: without an end
	Ended bool      `json:"ended,omitempty"` // it is good for nothing any more
}

// TokenMade is one that was just made.
type TokenMade struct {
	Token
	Secret string `json:"secret"` // the token itself; it is shown this once
	// Machines is how many there are now that the token is held to; of one that is held to none it is not there.
	Machines *int `json:"machines,omitempty"`
}

// LoginLinkSpec asks for a link that logs somebody in to the page once: POST /v1/tokens/{token}/link.
type LoginLinkSpec struct {
	V       int `json:"v"`
	Minutes int `json:"minutes"` // that it is good for
}

// LoginLink is a link that was just made, for one login with the token of the name.
type LoginLink struct {
	Name  string    `json:"name"`
	Path  string    `json:"path"` // behind the server's address; it is shown this once
	Until time.Time `json:"until"`
}
