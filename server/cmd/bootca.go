package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/server/identity"
	"github.com/diskcast/diskcast/server/netboot/bootca"
)

func bootCACommand(e *env) *cobra.Command {
	var form, out string
	var make bool
	cmd := &cobra.Command{
		Use:   "boot-ca",
		Short: "Print the certificate by which firmware knows this server when it boots by HTTPS",
		Long: `Print the certificate of the server's boot CA, made now if there is none. Firmware that boots by HTTPS
(serve --boot-https) believes only servers whose certificate one of its own has signed: this one is enrolled in its
setup, mostly from a file on a FAT stick. It is no secret; its key stays in the state directory.

--form der is what most setups read; esl is an EFI_SIGNATURE_LIST, as QEMU's etc/edk2/https/cacerts and EDK II's
variable TlsCaCertificate have it.`,
		Example: `  diskcast boot-ca --state /srv/diskcast
  diskcast boot-ca --form der --out /media/stick/diskcast.cer`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case !slices.Contains([]string{"pem", "der", "esl"}, form):
				return usage("--form %q is none of pem, der, esl", form)
			case form != "pem" && out == "":
				return usage("--form %s is no text: name the file for it with --out", form)
			}
			if !make {
				if err := e.mayMake("`diskcast boot-ca --make` makes it before a server runs"); err != nil {
					return err
				}
			}
			if _, err := identity.Load(e.state); err != nil { // the state directory, and to whom it belongs
				return err
			}
			ca, err := bootca.Load(e.state)
			if err != nil {
				return err
			}
			if out != "" {
				forms := map[string]func() []byte{"pem": ca.PEM, "der": ca.DER, "esl": ca.SignatureList}
				return newFile(out, forms[form]())
			}
			if e.JSON {
				return e.Doc(map[string]string{"certificate": string(ca.PEM())})
			}
			_, err = e.Out.Write(ca.PEM())
			return err
		},
	}
	cmd.Flags().StringVar(&form, "form", "pem", "pem, der or esl")
	cmd.Flags().StringVar(&out, "out", "", "file to make (default: print it)")
	cmd.Flags().BoolVar(&make, "make", false, "make the state directory where it is not there")
	return cmd
}

// newFile makes a file that must not be there yet.
func newFile(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already: remove it, or name another", name)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}
