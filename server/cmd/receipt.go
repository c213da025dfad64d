package cmd

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/receipt"
	"github.com/diskcast/diskcast/internal/units"
	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/cmd/ui"
)

func receiptCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "receipt",
		Short: "Show and check the signed accounts of what was done to disks",
		Long: `A receipt says what was done to one disk of one machine: by which method, when, by whose word, with ` +
			`which result, and
what of the disk was not reached. It is signed with the server's key, and whoever knows the pin of that key needs
nothing else to check it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	serverFlag(cmd, e)
	cmd.AddCommand(receiptShow(e), receiptVerify(e), receiptGet(e), receiptPage(e))
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
	if known, err := e.known(e.server); err != nil || known != nil {
		if err != nil {
			return "", err
		}
		return known.Pin, nil
	}
	c, err := client.ReadCredentials(e.state)
	if err != nil {
		return "", usage("nothing says which key is to be trusted: give --pin, as `diskcast token` on the server "+
			"prints it (%w)", err)
	}
	return c.Pin, nil
}

// readReceipt reads a file and says whether its signature holds. What is no receipt at all is an error.
func readReceipt(name, pin string) (receipt.Signed, error) {
	f, err := os.Open(name)
	if err != nil {
		return receipt.Signed{}, err
	}
	env, err := receipt.Parse(f)
	f.Close()
	if err != nil {
		return receipt.Signed{}, fmt.Errorf("%s: %w", name, err)
	}
	s, err := env.Look(pin)
	if err != nil {
		return receipt.Signed{}, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

func receiptShow(e *env) *cobra.Command {
	var html bool
	cmd := &cobra.Command{
		Use:   "show FILE...",
		Short: "Print receipts, one page for many machines",
		Example: `  diskcast receipt show s7/*.json
  diskcast receipt show --html s7/*.json > s7.html`,
	}
	e.readsReceipts(cmd, func(files []string, pin string) error {
		var all []receipt.Signed
		docs := []receiptDoc{}
		for _, name := range files {
			r, err := readReceipt(name, pin)
			if err != nil {
				return err // a page without it would look whole
			}
			all = append(all, r)
			docs = append(docs, newReceiptDoc(r))
			docs[len(docs)-1].File = name
		}
		var err error
		switch {
		case html:
			err = receipt.Page(e.Data(), all)
		case e.JSON:
			err = e.Doc(docs)
		default:
			err = e.printReceipts(all)
		}
		return errors.Join(err, badSignatures(all))
	})
	cmd.Flags().BoolVar(&html, "html", false, "print a page of HTML, to be kept or printed")
	return cmd
}

func receiptVerify(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify FILE...",
		Short: "Check the signatures of receipts",
		Long: `Check that each receipt was signed by the key with the pin and was not changed since. It fails if one ` +
			`was not,
or is no receipt, after it looked at all of them, and whatever the receipt says; a receipt that says "failed" and is
signed is a sound receipt.`,
		Example: `  diskcast receipt verify --pin sha256:9f86d0... s7/*.json`,
	}
	e.readsReceipts(cmd, func(files []string, pin string) error {
		docs := make([]receiptDoc, len(files))
		var all []receipt.Signed
		var unread []error
		for i, name := range files {
			r, err := readReceipt(name, pin)
			word := "the signature holds: "
			switch {
			case err != nil:
				unread = append(unread, err)
				docs[i] = receiptDoc{Why: err.Error()}
				word = "NOT VERIFIED: " + err.Error()
			case r.Bad != "":
				word = r.Bad
			default:
				shown := r.Plain()
				word += shown.Kind + " " + shown.Result
			}
			if err == nil {
				all = append(all, r)
				docs[i] = newReceiptDoc(r)
			}
			docs[i].File = name
			if e.JSON {
				continue
			}
			if _, err := fmt.Fprintf(e.Out, "%s: %s\n", plain.Line(name, 0), plain.Line(word, 0)); err != nil {
				return err
			}
		}
		var failed error
		if e.JSON {
			failed = e.Doc(docs)
		}
		return errors.Join(append([]error{failed, badSignatures(all)}, unread...)...)
	})
	return cmd
}

// readsReceipts makes cmd one that holds receipts in files against a pin.
func (e *env) readsReceipts(cmd *cobra.Command, run func(files []string, pin string) error) {
	var pin string
	cmd.Flags().StringVar(&pin, "pin", "",
		"pin of the server's key ($DISKCAST_PIN; default: that of the server whose state directory is here)")
	cmd.Args = cobra.MinimumNArgs(1)
	cmd.RunE = func(_ *cobra.Command, files []string) error {
		trusted, err := e.trustedPin(pin)
		if err != nil {
			return err
		}
		return run(files, trusted)
	}
}

func badSignatures(all []receipt.Signed) error {
	var bad []string
	for _, r := range all {
		if r.Bad != "" {
			bad = append(bad, plain.Line(r.ID, 0))
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("%d of %d receipts are not to be believed (%s): they were not signed by the trusted key, "+
			"or were changed",
			len(bad), len(all), strings.Join(bad, ", "))
	}
	return nil
}

// receiptDoc is a receipt as --json shows it; where its file is no receipt, File and Why are all there is.
type receiptDoc struct {
	*receipt.Receipt
	File   string   `json:"file"`
	Key    string   `json:"key"` // the trusted key, where its signature was verified
	Claims []string `json:"unverified_keys,omitempty"`
	Valid  bool     `json:"valid"`
	Why    string   `json:"why,omitempty"` // the signature does not hold
}

func newReceiptDoc(r receipt.Signed) receiptDoc {
	return receiptDoc{Receipt: r.Receipt, Key: r.Key, Claims: r.Claims, Valid: r.Bad == "", Why: r.Bad}
}

func (e *env) printReceipts(all []receipt.Signed) error {
	rows := [][]string{{"MACHINE", "DISK", "SERIAL", "SIZE", "METHOD", "NIST", "ENDED", "RESULT", "SIGNATURE"}}
	for _, r := range all {
		r.Receipt = r.Plain()
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
		r.Receipt = r.Plain()
		says := append([]string{r.Message, r.Bad}, r.Left...)
		for _, key := range r.Claims {
			says = append(says, "names a key that was not verified: "+key)
		}
		for _, say := range says {
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
