package main

import (
	"io"
	"os"

	"github.com/diskcast/diskcast/internal/ansi"
)

// maxEnd is how much of a console's end is shown, in bytes.
const maxEnd = 3000

// consoleEnd is the end of a console's log as text; empty where it cannot be read.
func consoleEnd(name string) string {
	f, err := os.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return ""
	}
	text, err := io.ReadAll(io.NewSectionReader(f, max(0, st.Size()-maxEnd), maxEnd))
	if err != nil {
		return ""
	}
	var filter ansi.Filter
	return string(filter.Write(text))
}
