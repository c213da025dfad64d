package cmd

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/receipt"
)

func receiptPage(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "page [SESSION]",
		Short: "Print a session's receipts as one page of HTML; without SESSION, all there are",
		Long: `Print receipts as one page of HTML, for many machines: nothing in it is fetched, and it can be printed.
It says of each receipt what was done, when, by whose word, and whether its signature holds, with which key. The command
fails, after it printed the page, if one does not hold.`,
		Example: `  diskcast receipt page s7 > s7.html`,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if e.JSON {
				return usage("a page is HTML: `diskcast receipt get` fetches the JSON documents")
			}
			list, pin, err := e.receipts(cmd.Context(), strings.Join(args, ""))
			if err != nil {
				return err
			}
			signed, err := receipt.LookAll(list, pin)
			if err != nil {
				return err // a page without it would look whole
			}
			return errors.Join(receipt.Page(e.Data(), signed), badSignatures(signed))
		},
	}
}
