package vm

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"sync"
)

// qmp is QEMU's machine protocol: JSON requests, answers and events on one connection (qemu docs/interop/qmp-spec).
type qmp struct {
	conn net.Conn

	mu      sync.Mutex
	next    int
	ready   chan struct{} // closed when QEMU takes commands
	pending map[int]chan answer
	err     error // why the connection ended
}

type qmpMessage struct {
	QMP    json.RawMessage `json:"QMP"`
	Event  string          `json:"event"`
	ID     int             `json:"id"`
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Class, Desc string
	} `json:"error"`
}

// answer is what QEMU says to a command.
type answer struct {
	result json.RawMessage
	err    error
}

// capabilities is the id of the first request.
const capabilities = 1

func newQMP(c net.Conn) *qmp {
	q := &qmp{conn: c, next: capabilities, ready: make(chan struct{}), pending: map[int]chan answer{}}
	go q.read()
	return q
}

// read ends when QEMU closes the connection or close is called.
func (q *qmp) read() {
	dec := json.NewDecoder(q.conn)
	for {
		var m qmpMessage
		if err := dec.Decode(&m); err != nil {
			q.fail(err)
			return
		}
		switch {
		case m.QMP != nil: // the greeting: commands are refused until capabilities are settled
			_, _ = fmt.Fprintf(q.conn, `{"execute":"qmp_capabilities","id":%d}`+"\n", capabilities)
		case m.ID == capabilities:
			close(q.ready)
		case m.ID != 0:
			q.mu.Lock()
			ch := q.pending[m.ID]
			delete(q.pending, m.ID)
			q.mu.Unlock()
			if ch == nil {
				continue
			}
			if m.Error != nil {
				ch <- answer{err: fmt.Errorf("%s: %s", m.Error.Class, m.Error.Desc)}
			} else {
				ch <- answer{result: m.Return}
			}
		}
	}
}

func (q *qmp) fail(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.err = err
	for id, ch := range q.pending {
		ch <- answer{err: err}
		delete(q.pending, id)
	}
}

// execute gives a command and returns when QEMU has carried it out.
func (q *qmp) execute(ctx context.Context, command string) error {
	_, err := q.ask(ctx, command, nil)
	return err
}

// ask gives a command, with arguments if it takes some, and returns its result.
func (q *qmp) ask(ctx context.Context, command string, arguments map[string]any) (json.RawMessage, error) {
	select {
	case <-q.ready:
	case <-ctx.Done():
		return nil, fmt.Errorf("qmp %s: %w", command, ctx.Err())
	}
	q.mu.Lock()
	if q.err != nil {
		q.mu.Unlock()
		return nil, fmt.Errorf("qmp %s: %w", command, q.err)
	}
	q.next++
	id := q.next
	ch := make(chan answer, 1)
	q.pending[id] = ch
	q.mu.Unlock()
	doc := map[string]any{"execute": command, "id": id}
	if arguments != nil {
		doc["arguments"] = arguments
	}
	req, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	if _, err := q.conn.Write(append(req, '\n')); err != nil {
		return nil, fmt.Errorf("qmp %s: %w", command, err)
	}
	select {
	case a := <-ch:
		if a.err != nil {
			return nil, fmt.Errorf("qmp %s: %w", command, a.err)
		}
		return a.result, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("qmp %s: %w", command, ctx.Err())
	}
}

func (q *qmp) close() { _ = q.conn.Close() }
