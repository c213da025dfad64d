package cmd

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/receipt"
)

func receiptPage(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "page [SESSION]",
		Short: "Print a session's receipts as one page of HTML; without SESSION, all there are",
		Long: `Print receipts as one page of HTML, for many machines: nothing in it is fetched, and it can be printed. It says of
each receipt what was done, when, by whose word, and whether its signature holds, with which key. The command fails,
after it printed the page, if one does not hold.`,
		Example: `  diskcast receipt page s7 > s7.html`,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			session := ""
			if len(args) > 0 {
				session = args[0]
			}
			list, pin, err := e.receipts(cmd.Context(), session)
			if err != nil {
				return err
			}
			signed, err := receipt.LookAll(list, pin)
			if err != nil {
				return err // a page without it would look whole
			}
			if e.JSON {
				return usage("a page is HTML: `diskcast receipt get` fetches the JSON documents")
			}
			return errors.Join(receipt.Page(e.Out, signed), badSignatures(signed))
		},
	}
}
