package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/doc"
)

// Example lists the machines of a room, and tells a refusal by its code.
func Example() {
	// In place of a server that runs: its URL, its pin (`diskcast token`) and a token (`diskcast token create`).
	srv := httptest.NewTLSServer(http.HandlerFunc(pretend))
	defer srv.Close()
	ctx := context.Background()
	pin, err := client.PinAt(ctx, srv.URL)
	if err != nil {
		fmt.Println(err)
		return
	}

	c, err := client.New(srv.URL, client.Credentials{Token: "secret", Pin: pin})
	if err != nil {
		fmt.Println(err)
		return
	}
	machines, err := c.Select(ctx, "room=210")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range machines {
		fmt.Println(m.ID, m.Name, m.Labels["room"])
	}

	_, err = c.Session(ctx, "s9")
	var refused *client.StatusError
	if errors.As(err, &refused) && refused.Problem == doc.ProblemNotFound {
		fmt.Println("refused:", refused)
	}
	// Output:
	// m1 lab-01 210
	// refused: session s9: not found
}

// pretend answers as a server does.
func pretend(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v1/machines" && r.URL.Query().Get("select") == "room=210" {
		fmt.Fprintln(w, `[{"id": "m1", "name": "lab-01", "labels": {"room": "210"}}]`)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusNotFound)
	fmt.Fprintln(w, `{"type": "/v1/#not_found", "status": 404, "code": "not_found", "error": "session s9: not found"}`)
}
