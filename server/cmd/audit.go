package cmd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/audit"
	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/doc"
)

func auditCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Show who changed what on a server, and check that the record of it is whole",
		Long: `A server records each change that somebody asks for: with which token, from where, what, when, and what
came of it. Each entry has the hash of the one before it, and the server's key signs the newest one: an entry that was
changed, taken out or put in shows. An administrator reads the record.`,
	}
	cmd.AddCommand(auditList(e), auditVerify(e), auditExport(e))
	return cmd
}

// change is an entry that asked, with what came of it.
type change struct {
	doc.AuditEntry
	Done *doc.AuditEntry `json:"done,omitempty"` // nil: nobody knows
}

func (c *change) result() string {
	switch {
	case c.Kind == doc.AuditLost:
		return fmt.Sprintf("%d entries could not be stored", c.Lost)
	case c.Done == nil:
		return "not known"
	case c.Done.Status/100 == 2:
		return "done"
	}
	return fmt.Sprintf("refused (%d): %s", c.Done.Status, c.Done.Error)
}

func auditList(e *env) *cobra.Command {
	var last int
	var who, about string
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"},
		Short: "List the last changes, who asked for them, and what came of it",
		Example: `  diskcast audit list --who ada
  diskcast audit list --about machines/lab-07 --last 1000 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if last < 1 {
				return &codeError{exitUsage, errors.New("--last is how many changes are shown, 1 or more")}
			}
			all, err := e.changes(cmd.Context(), func(c *change) bool {
				return (who == "" || c.Who == who) && strings.Contains(c.Request+" "+c.Path, about)
			})
			if err != nil {
				return err
			}
			all = all[max(0, len(all)-last):]
			if e.JSON {
				return e.Doc(all)
			}
			rows := [][]string{{"N", "TIME", "WHO", "FROM", "ASKED FOR", "RESULT"}}
			for i := range all {
				c := &all[i]
				method, _, _ := strings.Cut(c.Request, " ")
				rows = append(rows, []string{strconv.FormatUint(c.N, 10), c.Time.Local().Format("2006-01-02 15:04:05"),
					c.Who, c.From, plain.Line(method+" "+c.Path, 100), plain.Line(c.result(), 100)})
			}
			return ui.List(e.Out, rows)
		},
	}
	serverFlag(cmd, e)
	cmd.Flags().IntVar(&last, "last", 50, "how many changes")
	cmd.Flags().StringVar(&who, "who", "", "those of the token with the name (root: the server's own)")
	cmd.Flags().StringVar(&about, "about", "",
		"those with this text in their request, such as machines/lab-07 or DELETE")
	return cmd
}

// changes are what was asked for, oldest first, with what came of it.
func (e *env) changes(ctx context.Context, wanted func(*change) bool) ([]change, error) {
	c, err := e.client()
	if err != nil {
		return nil, err
	}
	all, at := []change{}, map[uint64]int{}
	_, err = c.AuditAll(ctx, 0, func(part *doc.Audit) error {
		for i := range part.Lines {
			var x change
			if err := json.Unmarshal(part.Lines[i].Entry, &x.AuditEntry); err != nil {
				return fmt.Errorf("an entry of the record is not understood: %w", err)
			}
			if !e.JSON {
				plain.Strings(&x.AuditEntry, 0)
			}
			if x.Kind == doc.AuditDone {
				if i, known := at[x.Of]; known {
					all[i].Done = &x.AuditEntry
				}
				continue
			}
			if wanted(&x) {
				at[x.N] = len(all)
				all = append(all, x)
			}
		}
		return nil
	})
	return all, err
}

func auditExport(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Print the whole record as lines of JSON, which `audit verify FILE` checks anywhere",
		Long: `Print the whole record: a line {"pruned": ...} with the signed hash of the newest entry that is no more
kept, a line for each entry, and a line {"head": ...} with the signed hash of the newest entry. It is the same with
--json.`,
		Example: `  diskcast audit export > audit-$(date +%F).jsonl`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			out := json.NewEncoder(e.Data())
			first := true
			last, err := c.AuditAll(cmd.Context(), 0, func(part *doc.Audit) error {
				if first {
					first = false
					if err := out.Encode(auditRow{Pruned: &part.Pruned}); err != nil {
						return err
					}
				}
				for i := range part.Lines {
					if err := out.Encode(auditRow{AuditLine: &part.Lines[i]}); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
			return out.Encode(auditRow{Head: &last.Head})
		},
	}
	serverFlag(cmd, e)
	return cmd
}

// auditRow is a line of an export; one of its fields is set.
type auditRow struct {
	Pruned *doc.AuditMark `json:"pruned,omitempty"`
	*doc.AuditLine
	Head *doc.AuditMark `json:"head,omitempty"`
}

// verified is what a check came to.
type verified struct {
	First  uint64 `json:"first"` // entry; 0: there is none
	Last   uint64 `json:"last"`
	Hash   string `json:"hash"` // of the last
	Pruned uint64 `json:"pruned"`
	Pin    string `json:"pin"`
	// Lost is how many entries the record says that it lacks, and Waiting how many the server's state did not take yet.
	Lost    int `json:"lost,omitempty"`
	Waiting int `json:"waiting,omitempty"`
}

func auditVerify(e *env) *cobra.Command {
	var since, pin string
	cmd := &cobra.Command{
		Use:   "verify [FILE]",
		Short: "Check that no entry of the record was changed, taken out or put in",
		Long: `Check a server's record, or with a file one that was exported: that each entry is the one that its hash
was made of, that it follows the one before, and that the server's key signed the first and the last one.

Who has the server's key can write another record. Keep the word that this prints (N:HASH) elsewhere: --since holds the
record against it, and so against all that was written up to then.

What the server could not store is not in the record: an entry says how many such there were, and this says it too.`,
		Example: `  diskcast audit verify
  diskcast audit verify --since 1207:9f86d081884c7d65...
  diskcast audit verify --pin sha256:9f86d0... audit-2026-11-29.jsonl`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			kept, err := readKept(since)
			if err != nil {
				return &codeError{exitUsage, err}
			}
			v := &verifier{kept: kept}
			if len(a) == 1 {
				if v.pin, err = e.trustedPin(pin); err != nil {
					return err
				}
				err = v.file(a[0])
			} else {
				err = v.server(cmd.Context(), e)
			}
			if err != nil {
				return fmt.Errorf("the record does not hold: %w", err)
			}
			if v.Lost > 0 {
				e.Warn(fmt.Sprintf("%d entries are missing: the state took none, and they were lost (`diskcast audit "+
					"list` shows when)", v.Lost))
			}
			if v.Waiting > 0 {
				e.Warn(fmt.Sprintf("%d entries are not in it yet: the state takes none (`diskcast doctor` says why)",
					v.Waiting))
			}
			if e.JSON {
				return e.Doc(v.verified)
			}
			what := "it has no entries"
			if v.First > 0 {
				what = fmt.Sprintf("entries %d to %d", v.First, v.Last)
			}
			if v.verified.Pruned > 0 {
				what += fmt.Sprintf(", those up to %d are not kept any more", v.verified.Pruned)
			}
			_, err = fmt.Fprintf(e.Out, "the record holds: %s\nkeep this to hold it against later: %d:%s\n", what,
				v.Last, v.Hash)
			return err
		},
	}
	serverFlag(cmd, e)
	cmd.Flags().StringVar(&since, "since", "", "N:HASH that was printed before, and must be in the record still")
	cmd.Flags().StringVar(&pin, "pin", "", "of a FILE: pin of the server's key ($DISKCAST_PIN; default: that of the "+
		"server whose state directory is here)")
	return cmd
}

// kept is a word that somebody kept of the record as it was.
type kept struct {
	n    uint64
	hash string
}

func readKept(s string) (*kept, error) {
	if s == "" {
		return nil, nil
	}
	digits, hash, ok := strings.Cut(s, ":")
	n, err := strconv.ParseUint(digits, 10, 64)
	if !ok || err != nil || len(hash) != len(audit.Start) {
		return nil, fmt.Errorf("--since %.100q is not N:HASH, as `diskcast audit verify` prints it", s)
	}
	return &kept{n, strings.ToLower(hash)}, nil
}

// verifier checks a record from its first line to its last.
type verifier struct {
	verified
	pin   string
	kept  *kept
	chain *audit.Chain
}

func (v *verifier) begin(m *doc.AuditMark) error {
	if v.chain != nil {
		return errors.New("a second mark says where the record begins")
	}
	v.chain, v.verified.Pruned, v.Pin = audit.From(m), m.N, v.pin
	if v.kept != nil && v.kept.n < m.N {
		return fmt.Errorf("entry %d of --since is not kept any more, and nothing says what it was", v.kept.n)
	}
	if err := audit.CheckMark(m, v.pin); err != nil {
		return err
	}
	return v.look()
}

// look holds the last entry against the one that somebody kept the hash of.
func (v *verifier) look() error {
	if v.kept != nil && v.kept.n == v.chain.N && v.kept.hash != v.chain.Hash() {
		return fmt.Errorf("entry %d is another one than it was", v.kept.n)
	}
	return nil
}

func (v *verifier) line(l *doc.AuditLine) error {
	if v.chain == nil {
		return errors.New("nothing says where the record begins")
	}
	x, err := v.chain.Add(l)
	if err != nil {
		return err
	}
	if v.First == 0 {
		v.First = x.N
	}
	v.verified.Lost += x.Lost
	return v.look()
}

func (v *verifier) end(m *doc.AuditMark) error {
	if v.chain == nil {
		return errors.New("nothing says where the record begins")
	}
	if err := errors.Join(audit.CheckMark(m, v.pin), v.chain.Ends(m)); err != nil {
		return err
	}
	if v.kept != nil && v.kept.n > m.N {
		return fmt.Errorf("it ends with entry %d, and --since kept entry %d", m.N, v.kept.n)
	}
	v.Last, v.Hash = v.chain.N, v.chain.Hash()
	return nil
}

func (v *verifier) server(ctx context.Context, e *env) error {
	c, err := e.client()
	if err != nil {
		return err
	}
	v.pin = c.Pin()
	last, err := c.AuditAll(ctx, 0, func(part *doc.Audit) error {
		if v.chain == nil {
			if err := v.begin(&part.Pruned); err != nil {
				return err
			}
		}
		if part.Pruned.N > v.chain.N {
			return errors.New("entries were pruned while they were read: ask again")
		}
		for i := range part.Lines {
			if err := v.line(&part.Lines[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	v.Waiting, v.verified.Lost = last.Waiting, v.verified.Lost+last.Lost
	return v.end(&last.Head)
}

// maxExportLine bounds, in bytes, a line of an export.
const maxExportLine = 1 << 20

func (v *verifier) file(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return v.read(f)
}

func (v *verifier) read(r io.Reader) error {
	in := bufio.NewScanner(r)
	in.Buffer(nil, maxExportLine)
	ended := false
	for n := 1; in.Scan(); n++ {
		var x auditRow
		text := slices.Clone(in.Bytes())
		err := json.Unmarshal(text, &x)
		switch {
		case err != nil:
		case ended:
			err = errors.New("something follows the mark of its end")
		case x.Pruned != nil:
			err = v.begin(x.Pruned)
		case x.Head != nil:
			ended = true
			err = v.end(x.Head)
		case x.AuditLine != nil:
			err = v.line(x.AuditLine)
		default:
			err = errors.New("it is no line of an export")
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := in.Err(); err != nil {
		return err
	}
	if !ended {
		return errors.New("the mark of its end is not there: it was cut short")
	}
	return nil
}
