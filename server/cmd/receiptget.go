package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/receipt"
)

// receipts fetches a session's envelopes, which are at least one, and says which key is trusted.
func (e *env) receipts(ctx context.Context, session string) (list []json.RawMessage, pin string, err error) {
	c, err := e.client()
	if err != nil {
		return nil, "", err
	}
	if list, err = c.Receipts(ctx, session); err != nil {
		return nil, "", err
	}
	if len(list) == 0 {
		return nil, "", errors.New("there are no receipts: a part has one when its node had a plan for its disk and " +
			"has ended")
	}
	pin, err = e.trustedPin("")
	return list, pin, err
}

func receiptGet(e *env) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "get [SESSION]",
		Short: "Fetch a session's receipts from the server, a file each; without SESSION, all there are",
		Long: `Fetch receipts and check their signatures before they are written. One that was signed by another key ` +
			`than the
server's present one, as after the server's key was replaced, is written too and named, and the command fails at its
end: verify it with the former pin. One that was changed since is not written. Receipts outlive their sessions, and
a machine that was offered its part again has one for each time. A file that is there and is another receipt is left
alone, and it is an error.`,
		Example: `  diskcast receipt get s7 --out receipts/
  diskcast receipt show receipts/s7-*.json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, pin, err := e.receipts(cmd.Context(), strings.Join(args, ""))
			if err != nil {
				return err
			}
			got := writeReceipts(out, list, pin)
			if e.JSON {
				err = e.Doc(got.names)
			} else if len(got.names) > 0 {
				_, err = fmt.Fprintln(e.Out, strings.Join(got.names, "\n"))
			}
			return errors.Join(err, got.err(pin))
		},
	}
	cmd.Flags().StringVar(&out, "out", ".", "directory for the files")
	return cmd
}

// fetched is what came of the receipts that a server sent.
type fetched struct {
	names   []string // files that hold one
	foreign []string // files whose receipt another key signed, with that key
	failed  []error  // one for each receipt that no file holds
}

// writeReceipts writes each receipt that it can: none keeps another from its file.
func writeReceipts(dir string, list []json.RawMessage, pin string) *fetched {
	f := &fetched{names: []string{}}
	for i, raw := range list {
		name, signer, err := writeReceipt(dir, raw, pin)
		if err != nil {
			f.failed = append(f.failed, fmt.Errorf("receipt %d of %d: %w", i+1, len(list), err))
			continue
		}
		f.names = append(f.names, name)
		if signer != pin {
			f.foreign = append(f.foreign, name+" by "+signer)
		}
	}
	return f
}

// err names the receipts that are not written, and those that the server's present key did not sign.
func (f *fetched) err(pin string) error {
	errs := f.failed
	if len(f.foreign) > 0 {
		errs = append(errs, fmt.Errorf("%d receipts are written and not verified: they were not signed by the "+
			"server's "+
			"present key %s (%s). If the server had another key before, verify them with its pin, as it was noted "+
			"then: diskcast receipt verify --pin FORMER-PIN FILE", len(f.foreign), pin,
			strings.Join(f.foreign, ", ")))
	}
	return errors.Join(errs...)
}

// writeReceipt writes a receipt to a file of its own and returns who signed it. It is well when the file has it
// already. A receipt that was changed after somebody signed it is not written.
func writeReceipt(dir string, raw []byte, pin string) (name, signer string, err error) {
	env, err := receipt.Parse(bytes.NewReader(raw))
	if err != nil {
		return "", "", err
	}
	r, err := env.Look(pin)
	if err != nil {
		return "", "", err
	}
	id := plain.Line(r.ID, 0)
	signer = r.Key
	if signer == "" {
		if signer, err = env.Signer(); err != nil {
			return "", "", fmt.Errorf("%s is not written: %w", id, err)
		}
		if signer == pin { // one signature of the key holds and another does not
			return "", "", fmt.Errorf("%s is not written: %s", id, r.Bad)
		}
	}
	name = strings.ReplaceAll(r.ID, "/", "-") + ".json"
	if !filepath.IsLocal(name) || id != r.ID {
		return "", "", fmt.Errorf("the receipt's name %q is no file name", r.ID)
	}
	name = filepath.Join(dir, name)
	return name, signer, writeWhole(name, append(bytes.TrimSpace(raw), '\n'))
}

// writeWhole makes the file with all of b or not at all. A file that is there must be b already, or empty.
func writeWhole(name string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	have, err := os.ReadFile(name)
	switch {
	case err == nil && bytes.Equal(have, b):
		return nil
	case err == nil && len(have) > 0:
		return fmt.Errorf("%s is there and is not this receipt: choose another directory with --out", name)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	temp := filepath.Join(filepath.Dir(name), fmt.Sprintf(".%s.%d", filepath.Base(name), os.Getpid()))
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(temp, name)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%s is not written: %w", name, err), os.Remove(temp))
	}
	return nil
}
