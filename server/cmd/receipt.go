package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/receipt"
	"github.com/diskcast/diskcast/internal/units"
	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/cmd/ui"
)

func receiptCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "receipt",
		Short: "Show and check the signed accounts of what was done to disks",
		Long: `A receipt says what was done to one disk of one machine: by which method, when, by whose word, with which result, and
what of the disk was not reached. It is signed with the server's key, and whoever knows the pin of that key needs
nothing else to check it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	serverFlag(cmd, e)
	cmd.AddCommand(receiptShow(e), receiptVerify(e), receiptGet(e))
	return cmd
}

// trustedPin is the pin that receipts are held against: the flag's, the environment's, or that of the server whose
// state is here.
func (e *env) trustedPin(flag string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	if pin := os.Getenv("DISKCAST_PIN"); pin != "" {
		return pin, nil
	}
	c, err := client.ReadCredentials(e.state)
	if err != nil {
		return "", usage("nothing says which key is to be trusted: give --pin, as `diskcast token` on the server "+
			"prints it (%w)", err)
	}
	return c.Pin, nil
}

// receipts reads the files and says of each whether its signature holds. What is no receipt at all is an error.
func receipts(files []string, pin string) ([]receipt.Signed, error) {
	var all []receipt.Signed
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		env, err := receipt.Parse(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		s := receipt.Signed{Key: env.Signatures[0].KeyID}
		if s.Receipt, err = env.Verify(pin); errors.Is(err, receipt.ErrSignature) {
			s.Bad = err.Error()
			s.Receipt, err = env.Unverified()
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, s)
	}
	return all, nil
}

func receiptGet(e *env) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "get [SESSION]",
		Short: "Fetch a session's receipts from the server, a file each; without SESSION, all there are",
		Long: `Fetch receipts and check their signatures before they are written. Receipts outlive their sessions, and a machine that
was offered its part again has one for each time. A file that is there and is another receipt is left alone, and it is
an error.`,
		Example: `  diskcast receipt get s7 --out receipts/
  diskcast receipt show receipts/s7-*.json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			list, err := c.Receipts(cmd.Context(), strings.Join(args, ""))
			if err != nil {
				return err
			}
			if len(list) == 0 {
				return errors.New("there are no receipts: a part has one when its node had a plan for its disk and " +
					"has ended")
			}
			pin, err := e.trustedPin("")
			if err != nil {
				return err
			}
			names := make([]string, len(list))
			for i, raw := range list {
				if names[i], err = writeReceipt(out, raw, pin); err != nil {
					return err
				}
			}
			if e.JSON {
				return e.Doc(names)
			}
			_, err = fmt.Fprintln(e.Out, strings.Join(names, "\n"))
			return err
		},
	}
	cmd.Flags().StringVar(&out, "out", ".", "directory for the files")
	return cmd
}

// writeReceipt checks a receipt and writes it to a file of its own. It is well when the file has it already.
func writeReceipt(dir string, raw []byte, pin string) (string, error) {
	env, err := receipt.Parse(bytes.NewReader(raw))
	if err != nil {
		return "", err
	}
	r, err := env.Verify(pin)
	if err != nil {
		return "", err
	}
	name := strings.ReplaceAll(r.ID, "/", "-") + ".json"
	if !filepath.IsLocal(name) {
		return "", fmt.Errorf("the receipt's name %q is no file name", r.ID)
	}
	name = filepath.Join(dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	raw = append(bytes.TrimSpace(raw), '\n')
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		if have, rerr := os.ReadFile(name); rerr == nil && bytes.Equal(have, raw) {
			return name, nil
		}
		return "", fmt.Errorf("%s is there and is not this receipt: choose another directory with --out", name)
	}
	if err != nil {
		return "", err
	}
	_, err = f.Write(raw)
	return name, errors.Join(err, f.Close())
}

func receiptShow(e *env) *cobra.Command {
	var html bool
	cmd := &cobra.Command{
		Use:   "show FILE...",
		Short: "Print receipts, one page for many machines",
		Example: `  diskcast receipt show s7/*.json
  diskcast receipt show --html s7/*.json > s7.html`,
	}
	e.readsReceipts(cmd, func(_ []string, all []receipt.Signed) error {
		switch {
		case html:
			return receipt.Page(e.Out, all)
		case e.JSON:
			return e.Doc(receiptDocs(all))
		}
		return e.printReceipts(all)
	})
	cmd.Flags().BoolVar(&html, "html", false, "print a page of HTML, to be kept or printed")
	return cmd
}

func receiptVerify(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify FILE...",
		Short: "Check the signatures of receipts",
		Long: `Check that each receipt was signed by the key with the pin and was not changed since. It fails if one was not,
whatever the receipt says; a receipt that says "failed" and is signed is a sound receipt.`,
		Example: `  diskcast receipt verify --pin sha256:9f86d0... s7/*.json`,
	}
	e.readsReceipts(cmd, func(files []string, all []receipt.Signed) error {
		if e.JSON {
			return e.Doc(receiptDocs(all))
		}
		for i, r := range all {
			word := "the signature holds: " + r.Kind + " " + r.Result
			if r.Bad != "" {
				word = r.Bad
			}
			if _, err := fmt.Fprintf(e.Out, "%s: %s\n", files[i], word); err != nil {
				return err
			}
		}
		return nil
	})
	return cmd
}

// readsReceipts makes cmd one that reads receipts from files, shows them, and fails when one is not to be believed.
func (e *env) readsReceipts(cmd *cobra.Command, show func(files []string, all []receipt.Signed) error) {
	var pin string
	cmd.Flags().StringVar(&pin, "pin", "",
		"pin of the server's key ($DISKCAST_PIN; default: that of the server whose state directory is here)")
	cmd.Args = cobra.MinimumNArgs(1)
	cmd.RunE = func(_ *cobra.Command, files []string) error {
		trusted, err := e.trustedPin(pin)
		if err != nil {
			return err
		}
		all, err := receipts(files, trusted)
		if err != nil {
			return err
		}
		return errors.Join(show(files, all), badSignatures(all))
	}
}

func badSignatures(all []receipt.Signed) error {
	var bad []string
	for _, r := range all {
		if r.Bad != "" {
			bad = append(bad, r.ID)
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("%d of %d receipts are not to be believed (%s): they were not signed by the trusted key, "+
			"or were changed",
			len(bad), len(all), strings.Join(bad, ", "))
	}
	return nil
}

// receiptDoc is a receipt as --json shows it.
type receiptDoc struct {
	*receipt.Receipt
	Key   string `json:"key"`
	Valid bool   `json:"valid"`
	Why   string `json:"why,omitempty"` // the signature does not hold
}

func receiptDocs(all []receipt.Signed) []receiptDoc {
	docs := make([]receiptDoc, len(all))
	for i, r := range all {
		docs[i] = receiptDoc{r.Receipt, r.Key, r.Bad == "", r.Bad}
	}
	return docs
}

func (e *env) printReceipts(all []receipt.Signed) error {
	rows := [][]string{{"MACHINE", "DISK", "SERIAL", "SIZE", "METHOD", "NIST", "ENDED", "RESULT", "SIGNATURE"}}
	for _, r := range all {
		sig, term := "holds", r.Term
		if r.Bad != "" {
			sig = "DOES NOT HOLD"
		}
		if term == "" {
			term = "-"
		}
		name := r.Machine.Name
		if name == "" {
			name = r.Machine.ID
		}
		rows = append(rows, []string{name, r.Disk.Model, r.Disk.Serial, units.Bytes(r.Disk.Size), r.Method, term,
			r.Ended.UTC().Format(time.RFC3339), r.Result, sig})
	}
	if err := ui.Table(e.Out, rows); err != nil {
		return err
	}
	for _, r := range all {
		for _, say := range append([]string{r.Message, r.Bad}, r.Left...) {
			if say == "" {
				continue
			}
			if _, err := fmt.Fprintf(e.Out, "%s: %s\n", r.ID, say); err != nil {
				return err
			}
		}
	}
	return nil
}
