package doc

import (
	"encoding/json"
	"time"
)

// Kinds of entries of the record of changes.
const (
	AuditAsked = "asked" // somebody asked for a change; stored before anything of it is done
	AuditDone  = "done"  // what came of that
	AuditLost  = "lost"  // entries that could not be stored, and of which there were too many to keep them
)

// AuditEntry is one entry of the record of what was changed over the API.
type AuditEntry struct {
	V    int       `json:"v"`
	N    uint64    `json:"n"` // 1, 2, 3, ...: none is left out
	Time time.Time `json:"time"`
	Kind string    `json:"kind"`
	// Of an entry AuditAsked: the token that came, what it may, and from which address; the request as the table of
	// requests has it, and as it came; its document without secrets; and what it is about as it was before.
	Who      string          `json:"who,omitempty"`
	Role     string          `json:"role,omitempty"`
	Within   string          `json:"within,omitempty"`
	From     string          `json:"from,omitempty"`
	Request  string          `json:"request,omitempty"`
	Path     string          `json:"path,omitempty"`
	Document json.RawMessage `json:"document,omitempty"`
	Before   json.RawMessage `json:"before,omitempty"`
	// Of an entry AuditDone: the entry that asked, the status that it was answered with, why it was refused, what it is
	// about as it was after, the machines that it was for where the request does not name them, and, in words, what
	// came of it for sessions whose machines are none of those any more that they were made within.
	Of       uint64          `json:"of,omitempty"`
	Status   int             `json:"status,omitempty"`
	Error    string          `json:"error,omitempty"`
	After    json.RawMessage `json:"after,omitempty"`
	Machines []string        `json:"machines,omitempty"`
	Sessions []string        `json:"sessions,omitempty"`
	// Lost is, of an entry AuditLost, how many there were.
	Lost int `json:"lost,omitempty"`
}

// AuditLine is an entry in its chain: Hash is the SHA-256, in hexadecimal digits, of "diskcast audit 1", Prev (the Hash
// of the line before, or 64 zeros) and the bytes of Entry, with line breaks between.
type AuditLine struct {
	Prev  string          `json:"prev"`
	Hash  string          `json:"hash"`
	Entry json.RawMessage `json:"entry"`
}

// AuditMark says by the server's key which hash the entry with the number has; of number 0 it is 64 zeros.
type AuditMark struct {
	N    uint64    `json:"n"`
	Hash string    `json:"hash"`
	Time time.Time `json:"time"`
	// PublicKey is the signer's, PKIX DER, whose SHA-256 is the server's pin. Sig is ECDSA over the SHA-256 of
	// "diskcast audit mark 1", N, Hash and Time as it stands here, with line breaks between, in ASN.1 DER.
	PublicKey []byte `json:"public_key"`
	Sig       []byte `json:"sig"`
}

// Audit is a part of the record: GET /v1/audit.
type Audit struct {
	// Pruned is the newest entry that is no more there: entries begin behind it. Head is the newest one.
	Pruned AuditMark   `json:"pruned"`
	Head   AuditMark   `json:"head"`
	Lines  []AuditLine `json:"lines"`
	// Waiting is how many entries the server's state did not take yet, and Lost how many of such there were too many:
	// of both there is an entry as soon as it takes one.
	Waiting int `json:"waiting,omitempty"`
	Lost    int `json:"lost,omitempty"`
}
