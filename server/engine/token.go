package engine

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// token makes the bearer token of one boot of a node. Nothing about it is stored: a server that restarts, and a hello
// that is said twice, come to the same token; a token of an earlier boot is void.
func (e *Engine) token(id, boot string) string {
	h := hmac.New(sha256.New, e.secret)
	h.Write([]byte("diskcast node token\x00" + id + "\x00" + boot))
	return id + "." + hex.EncodeToString(h.Sum(nil))
}

// Authorize returns the node whose token it is.
func (e *Engine) Authorize(token string) (string, error) {
	id, _, ok := strings.Cut(token, ".")
	if !ok {
		return "", ErrToken
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.nodes[id]
	if n == nil || n.Boot == "" {
		return "", ErrToken
	}
	if !hmac.Equal([]byte(e.token(id, n.Boot)), []byte(token)) {
		e.heardOld(n, token)
		return "", ErrToken
	}
	e.heard(n)
	return id, nil
}
