package cli

import (
	"errors"
	"fmt"

	"github.com/diskcast/diskcast/internal/image"
)

// advised adds to an error about a damaged image of the store what can be done.
func advised(err error) error {
	var damage *image.DamageError
	var code *codeError
	if !errors.As(err, &damage) || damage.Image == "" || errors.As(err, &code) {
		return err
	}
	return fmt.Errorf("%w; import or capture the same disk again (`diskcast image import FILE --name %s`), or fetch the image again from a sound copy "+
		"(`diskcast image import DIR --image %[2]s --name %[2]s`, `diskcast image pull`): what is damaged is then stored anew", err, damage.Image)
}
