package doc

import "time"

// ConsoleOpen asks for a machine's serial console: POST /v1/machines/{machine}/console.
type ConsoleOpen struct {
	V    int  `json:"v"`
	Take bool `json:"take,omitempty"` // also from somebody else, whose console then ends
}

// States of a console.
const (
	ConsoleOpening = "opening" // the BMC is asked for it
	ConsoleGoes    = "open"
	ConsoleClosed  = "closed"
)

// Console is a machine's serial console, with what it printed behind a place.
type Console struct {
	V       int       `json:"v"`
	Machine string    `json:"machine"`
	State   string    `json:"state"` // opening, open or closed
	By      string    `json:"by"`    // whose it is
	Opened  time.Time `json:"opened"`
	Ended   time.Time `json:"ended,omitzero"`
	Error   string    `json:"error,omitempty"` // why it ended by itself, or broke off and is opened again
	// Breaks is how often it broke off and is open again since. Each time a line in brackets, [diskcast: ...], is among
	// what the machine printed.
	Breaks int `json:"breaks,omitempty"`
	// Again says of a console that ended that opening it again may help: the server ended.
	Again bool `json:"again,omitempty"`
	// Next is the place behind what is here; what is asked for with after=Next follows without a gap.
	Next uint64 `json:"next"`
	// Lost is how many bytes before what is here are no longer kept.
	Lost uint64 `json:"lost,omitempty"`
	Data []byte `json:"data,omitempty"` // as the machine printed it
	Text string `json:"text,omitempty"` // instead, with text=true: without what a terminal would heed
}

// ConsoleKeys are typed at a console: POST /v1/machines/{machine}/console/keys.
type ConsoleKeys struct {
	V    int    `json:"v"`
	Keys []byte `json:"keys"`
}

// MaxConsoleKeys bounds what is typed at once, in bytes.
const MaxConsoleKeys = 4096
