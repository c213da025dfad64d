package power

import (
	"context"
	"errors"
	"net/http"
)

// HTTPError is why a request had no answer.
func HTTPError(ctx context.Context, err error) error {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return Fail(Silent, "%w: look at its address and cable, and whether the server reaches its network", err)
}

// StatusError is what the status of an answer says; nil for those that say well.
func StatusError(code int, words string) error {
	switch {
	case code >= 200 && code < 300:
		return nil
	case code == http.StatusUnauthorized:
		return Fail(Password, "it answers %s: set up its user and password again", words)
	case code == http.StatusForbidden:
		return Fail(Refused, "it answers %s: its user may look and not switch, so give it the role of an operator or "+
			"administrator", words)
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		return Busy("it answers %s, again and again: give it a minute; if it stays so, reset the BMC", words)
	case code >= 300 && code < 400:
		return Fail(Odd, "it answers %s, as the login page of a web interface does: look at the address, and whether "+
			"its API is switched on", words)
	}
	return Fail(Refused, "it answers %s", words)
}
