package doc

import (
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
)

// lineText is the JSON of a line, without a cursor, for all who are told it.
type lineText struct {
	once sync.Once
	text []byte
	err  error
}

// Share has the copies of a line, whatever their cursors are, be brought into JSON once. The line is not changed from
// then on.
func (l *Line) Share() { l.shared = &lineText{} }

// AppendJSON appends the line as json.Marshal has it.
func (l *Line) AppendJSON(to []byte) ([]byte, error) {
	if l.shared == nil {
		b, err := json.Marshal(l)
		return append(to, b...), err
	}
	l.shared.once.Do(func() {
		plain := *l
		plain.Cursor = ""
		l.shared.text, l.shared.err = json.Marshal(&plain)
	})
	text := l.shared.text
	if l.Cursor == "" || l.shared.err != nil {
		return append(to, text...), l.shared.err
	}
	// The cursor stands behind the type, which is a word of ours.
	head := len(`{"type":`) + len(l.Type) + 2
	if len(text) < head {
		return to, fmt.Errorf("a line of the type %q has no JSON", l.Type)
	}
	to = append(append(to, text[:head]...), `,"cursor":`...)
	return append(strconv.AppendQuote(to, l.Cursor), text[head:]...), nil
}
