package look

import (
	"bytes"
	"fmt"
	"strings"

	contract "github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/internal/kmod"
	"github.com/diskcast/diskcast/mkimage/bootdir"
	"github.com/diskcast/diskcast/mkimage/modules"
	"github.com/diskcast/diskcast/mkimage/secureboot"
	"github.com/diskcast/diskcast/mkimage/uki"
)

// wrongScripts holds the words that boot loaders give to the kernel against the manifest, by which the server judges
// where nodes will ask.
func (d *Directory) wrongScripts() []string {
	var wrong []string
	for _, x := range []struct{ name, words string }{{bootdir.ScriptFile, d.Manifest.Cmdline + " || "},
		{bootdir.GRUBConfigFile, bootdir.GRUBWords(d.Manifest.Cmdline) + "; then"}} {
		if data, err := d.Read(x.name); err == nil && !strings.Contains(string(data), " "+x.words) {
			wrong = append(wrong, x.name+" does not start the kernel with the words of the manifest")
		}
	}
	if err := bootdir.CheckIPXE(d.Manifest.Cmdline); err != nil {
		wrong = append(wrong, fmt.Sprintf("%s does not hand the words of the manifest to the kernel: %v",
			bootdir.ScriptFile, err))
	}
	return wrong
}

// missingDrivers says which kind of driver is neither in the archive nor in the kernel.
func (d *Directory) missingDrivers(list []kmod.Module) []string {
	builtin := strings.Fields(d.text(modulesDir + d.Manifest.Kernel + "/modules.builtin"))
	var missing []string
	for _, kind := range []modules.Kind{modules.Cards, modules.Controllers} {
		found := false
		for _, m := range list {
			_, file, _ := strings.Cut(strings.TrimPrefix(m.Path, modulesDir), "/")
			found = found || kind.Holds(file)
		}
		for _, file := range builtin {
			found = found || kind.Holds(file)
		}
		if !found {
			missing = append(missing, fmt.Sprintf("no driver of %s is in the archive or in the kernel: a node cannot "+
				"do without", kind.Name))
		}
	}
	return missing
}

// verifyUKI holds the unified kernel image, where there is one, against what it was made of, and returns who signed it.
func (d *Directory) verifyUKI(f *findings, kernel []byte) (signers []string) {
	data, err := d.Read(contract.UKIFile)
	if err != nil {
		return nil // wrongFiles tells it
	}
	archive, _ := d.Read(bootdir.ArchiveFile) // what cannot be read is told as the archive's trouble
	var wrong []string
	for _, x := range []struct {
		name string
		want []byte
		text string
	}{{".linux", kernel, "its kernel is not " + bootdir.KernelFile},
		{".initrd", archive, "its archive is not " + bootdir.ArchiveFile},
		{".cmdline", []byte(d.Manifest.Cmdline), "it starts the kernel with other words than the manifest's"}} {
		if got, err := uki.Section(data, x.name); err != nil {
			wrong = append(wrong, err.Error())
		} else if !bytes.Equal(got, x.want) {
			wrong = append(wrong, x.text)
		}
	}
	signers, _ = secureboot.Signers(data) // what is no program lacks its sections too
	if len(signers) == 0 && len(wrong) == 0 {
		f.add(contract.UKIFile, Warning, "it carries no signature: machines with Secure Boot on refuse it")
		return nil
	}
	f.judge(contract.UKIFile, Bad, "kernel, archive and words are those beside it; signed by "+
		strings.Join(signers, ", "), wrong)
	return signers
}
