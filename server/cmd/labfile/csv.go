package labfile

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/diskcast/diskcast/internal/nearest"
	"github.com/diskcast/diskcast/server/doc"
)

// columns of a CSV file, beside one label:NAME for each label.
var columns = []string{"id", "name", "macs", "uuid", "serial", "notes", "profile", "approved", "when_idle"}

const labelColumn = "label:"

// formula are the characters with which a spreadsheet takes a cell for a formula. Such a cell is written behind a
// quote, which is taken off again when it is read.
const formula = "=+-@\t\r"

// bare is the cell of a label that has no value, since an empty cell says nothing.
const bare = "'"

// CSV reads a file of machines; name is what errors call it.
func (r *Reader) CSV(name string, text []byte) error {
	if len(text) > MaxFile {
		return fmt.Errorf("%s is larger than %d bytes", name, MaxFile)
	}
	if bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) {
		return fmt.Errorf("%s is UTF-16: save it as \"CSV UTF-8\"", name)
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(text) {
		line := 1
		for rest := text; len(rest) > 0; {
			c, n := utf8.DecodeRune(rest)
			if c == utf8.RuneError && n == 1 {
				break
			}
			if c == '\n' {
				line++
			}
			rest = rest[n:]
		}
		return fmt.Errorf("%s:%d: a character is not UTF-8: save it as \"CSV UTF-8\"", name, line)
	}
	comma, skip := separator(text)
	c := csv.NewReader(bytes.NewReader(text[skip:]))
	c.Comma, c.FieldsPerRecord = comma, -1
	shift := bytes.Count(text[:skip], []byte("\n"))
	var head []string
	cells := 0
	for {
		row, err := c.Read()
		if errors.Is(err, io.EOF) {
			if head == nil {
				return fmt.Errorf("%s is empty: its first line names columns (%s, label:NAME)", name,
					strings.Join(columns, ", "))
			}
			r.kinds[doc.KindMachine] = true
			return nil
		}
		if bad := (*csv.ParseError)(nil); errors.As(err, &bad) {
			return fmt.Errorf("%s:%d: %w", name, bad.Line+shift, bad.Err)
		} else if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		line, _ := c.FieldPos(0)
		at := fmt.Sprintf("%s:%d", name, line+shift)
		if cells += len(row); cells > maxCells {
			return fmt.Errorf("%s: there are more than %d cells", at, maxCells)
		}
		if head == nil {
			if head, err = header(row); err != nil {
				return fmt.Errorf("%s: %w", at, err)
			}
			continue
		}
		if err := r.row(head, row, at); err != nil {
			return err
		}
	}
}

// separator finds what is between cells, and how many bytes are before the header: a line sep=; may be there.
func separator(text []byte) (rune, int) {
	first, _, _ := bytes.Cut(text, []byte("\n"))
	if line := strings.ToLower(strings.TrimRight(string(first), "\r")); strings.HasPrefix(line, "sep=") &&
		len(line) == 5 {
		if c := rune(line[4]); strings.ContainsRune(",;\t", c) {
			return c, min(len(first)+1, len(text))
		}
	}
	best, most := ',', bytes.Count(first, []byte(","))
	for _, c := range ";\t" {
		if n := bytes.Count(first, []byte(string(c))); n > most {
			best, most = c, n
		}
	}
	return best, 0
}

// header reads the names of the columns.
func header(row []string) ([]string, error) {
	var out []string
	for i, cell := range row {
		name := strings.TrimSpace(cell)
		key, isLabel := strings.CutPrefix(name, labelColumn)
		switch {
		case name == "" && slices.Max(row[i:]) == "":
			return out, nil
		case isLabel && key != "":
		case !slices.Contains(columns, strings.ToLower(name)):
			return nil, fmt.Errorf("there is no column %q%s (there are %s, and label:NAME for a label)", name,
				nearest.Hint(strings.ToLower(name), append(slices.Clone(columns), labelColumn+name)),
				strings.Join(columns, ", "))
		default:
			name = strings.ToLower(name)
		}
		if slices.Contains(out, name) {
			return nil, fmt.Errorf("the column %s is there twice", name)
		}
		out = append(out, name)
	}
	return out, nil
}

// row reads a line of the file. An empty cell leaves what there is.
func (r *Reader) row(head, row []string, at string) error {
	var m doc.MachineEntry
	empty := true
	for i, cell := range row {
		if strings.TrimSpace(cell) == "" {
			continue
		}
		empty = false
		if i >= len(head) {
			return fmt.Errorf("%s: cell %d (%.40q) is in no column", at, i+1, cell)
		}
		value := uncell(cell)
		trimmed := strings.TrimSpace(value)
		switch head[i] {
		case "id":
			m.ID = trimmed
		case "name":
			m.Name = trimmed
		case "macs":
			m.MACs = strings.Fields(strings.ReplaceAll(trimmed, ",", " "))
		case "uuid":
			m.UUID = trimmed
		case "serial":
			m.Serial = trimmed
		case "notes":
			m.Notes = &value
		case "profile":
			m.Profile = &trimmed
		case "approved":
			b, err := yes(trimmed)
			if err != nil {
				return fmt.Errorf("%s: approved: %w", at, err)
			}
			m.Approved = &b
		case "when_idle":
			m.WhenIdle = &trimmed
		default:
			if m.Labels == nil {
				m.Labels = map[string]*string{}
			}
			m.Labels[strings.TrimPrefix(head[i], labelColumn)] = &value
		}
	}
	if empty {
		return nil
	}
	return r.machine(m, at)
}

// WriteCSV writes machines as CSV reads them.
func WriteCSV(w io.Writer, ms []doc.Machine) error {
	keys := map[string]bool{}
	for _, m := range ms {
		for k := range m.Labels {
			keys[k] = true
		}
	}
	labels := slices.Sorted(maps.Keys(keys))
	head := slices.Clone(columns)
	for _, k := range labels {
		head = append(head, labelColumn+k)
	}
	c := csv.NewWriter(w)
	if err := c.Write(head); err != nil {
		return err
	}
	for _, m := range ms {
		var board doc.Board
		if n := len(m.Boards); n > 0 {
			board = m.Boards[n-1]
		}
		approved := ""
		if m.ByHand != nil {
			approved = map[bool]string{true: "yes", false: "no"}[*m.ByHand]
		}
		row := []string{m.ID, m.Name, strings.Join(m.Boots, " "), board.UUID, board.Serial, m.Notes, m.Profile,
			approved, m.WhenIdle}
		for i := range row {
			row[i] = cell(row[i])
		}
		for _, k := range labels {
			v, has := m.Labels[k]
			if has && v == "" {
				v = bare
			} else {
				v = cell(v)
			}
			row = append(row, v)
		}
		if err := c.Write(row); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

// cell is the value as a spreadsheet shows it, and takes it for no formula.
func cell(s string) string {
	if s != "" && strings.IndexByte(formula+"'", s[0]) >= 0 {
		return "'" + s
	}
	return s
}

// uncell is the value of a cell.
func uncell(s string) string {
	if s == bare {
		return ""
	}
	if len(s) > 1 && s[0] == '\'' && strings.IndexByte(formula+"'", s[1]) >= 0 {
		return s[1:]
	}
	return s
}
