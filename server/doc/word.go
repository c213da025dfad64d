package doc

import "time"

// Kinds of words: what receivers can be told.
const (
	WordEnded   = "session.ended"
	WordFailed  = "machine.failed" // its part in a session failed, or it did not come
	WordDone    = "machine.done"   // its part in a session is done
	WordMachine = "machine.new"
	WordFinding = "doctor.finding"
	WordTest    = "test"
)

// WordKinds are the kinds that a receiver can ask for.
var WordKinds = []string{WordEnded, WordFailed, WordDone, WordMachine, WordFinding}

// UsualWords are those that it is told when it asks for none.
var UsualWords = []string{WordEnded, WordFailed, WordMachine, WordFinding}

// Word is one thing that happened, as it is told to those who asked for it.
type Word struct {
	V      int       `json:"v"`
	ID     string    `json:"id"` // the same whenever this word is sent again
	Kind   string    `json:"kind"`
	Time   time.Time `json:"time"`
	Server string    `json:"server"`
	Title  string    `json:"title"`          // one line
	Text   string    `json:"text,omitempty"` // more of it, in lines
	// Session, State and the counts are of what a session came to; State also of a machine's part in one.
	Session string `json:"session,omitempty"`
	State   string `json:"state,omitempty"`
	Done    int    `json:"done,omitempty"`
	Failed  int    `json:"failed,omitempty"`
	Machine string `json:"machine,omitempty"` // its id
	Name    string `json:"name,omitempty"`    // that the operator gave it
	Node    string `json:"node,omitempty"`
	Finding string `json:"finding,omitempty"` // which one of the doctor's
}

// Kinds of receivers.
const (
	ByWebhook = "webhook"
	ByMail    = "mail"
	ByNone    = "removed" // nobody of the name is in the settings any more
)

// NotifyReceiver is one who is told what happens, and what waits for it.
type NotifyReceiver struct {
	Name  string   `json:"name"`
	By    string   `json:"by"` // ByWebhook, ByMail or ByNone
	To    string   `json:"to"` // a URL, or mail addresses
	Kinds []string `json:"kinds"`
	// Secret says that its key or password is stored.
	Secret  bool      `json:"secret"`
	Waiting int       `json:"waiting"` // words that it was not told yet
	Oldest  time.Time `json:"oldest,omitzero"`
	Tries   int       `json:"tries,omitempty"` // in a row that failed
	LastTry time.Time `json:"last_try,omitzero"`
	NextTry time.Time `json:"next_try,omitzero"`
	Error   string    `json:"error,omitempty"` // of the last try, if that failed
	// Problem is what keeps all words from it, with the command that ends that.
	Problem   string    `json:"problem,omitempty"`
	Told      uint64    `json:"told"` // words, in all
	LastTold  time.Time `json:"last_told,omitzero"`
	GivenUp   uint64    `json:"given_up"` // words that it never got, in all, since they were too old
	Dropped   uint64    `json:"dropped"`  // in all, since too many waited or it was removed
	LastGiven time.Time `json:"last_given_up,omitzero"`
}

// NotifyTest asks for one word to be sent at once, beside the queue.
type NotifyTest struct {
	V  int    `json:"v"`
	To string `json:"to,omitempty"` // a receiver; empty: all
}

// NotifyResult is what one receiver answered.
type NotifyResult struct {
	Receiver string  `json:"receiver"`
	OK       bool    `json:"ok"`
	Answer   string  `json:"answer"` // or why there is none
	Seconds  float64 `json:"seconds"`
}

// NotifyFinding is what somebody who looked at the server found, to be told as a word: POST /v1/notify/finding.
type NotifyFinding struct {
	V       int    `json:"v"`
	Finding string `json:"finding"`        // which one
	Title   string `json:"title"`          // one line
	Text    string `json:"text,omitempty"` // cause and next step
}

// NotifySecret stores a receiver's key or password; an empty one is taken away.
type NotifySecret struct {
	V      int    `json:"v"`
	Secret string `json:"secret"`
}
