package up

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/diskcast/diskcast/server/config"
)

// unit is the service manager's name of the server.
const unit = "diskcast.service"

// service finds out whether the service manager is to serve, and as whom.
func (w *work) service(ctx context.Context) error {
	if w.Alone {
		return w.mayStay("--foreground says so")
	}
	if _, err := os.Stat(filepath.Join(w.Host.Root(), "run/systemd/system")); err != nil {
		return w.foreground("this machine does not run systemd")
	}
	if _, err := w.Host.Output(ctx, "", "systemctl", "cat", unit); err != nil {
		return w.foreground("the unit " + unit + ", which the package diskcast has, is not installed")
	}
	// The unit reads the usual file, and may write to the usual state directory only.
	if w.Options.File != config.DefaultFile || w.set.State != config.Defaults().State {
		return fmt.Errorf("the unit %s reads %s and keeps its state in %s: leave --config and --state as they are, or "+
			"serve with --foreground", unit, config.DefaultFile, config.Defaults().State)
	}
	name, err := w.Host.Output(ctx, "", "systemctl", "show", "--property", "User", "--value", unit)
	if err != nil {
		return err
	}
	w.unit = true
	if user := strings.TrimSpace(string(name)); user != "" && user != "root" {
		w.owner, err = lookOwner(user)
	}
	return err
}

func (w *work) foreground(why string) error {
	if err := w.mayStay(why); err != nil {
		return err
	}
	w.step(Chosen, "serves in the foreground: %s", why)
	return nil
}

// mayStay refuses to serve in the foreground when something is to be asked of the server afterwards.
func (w *work) mayStay(why string) error {
	if w.After == "" {
		return nil
	}
	return fmt.Errorf("%s is for a server that runs by itself, and this command would be the server (%s): leave it "+
		"out, and run `diskcast image import` and `diskcast apply` beside it", w.After, why)
}

// start lets the service manager serve, where it is to.
func (w *work) start(ctx context.Context) error {
	if !w.unit {
		if w.ours && w.was != "" {
			return fmt.Errorf("the server that answers was started when it was at %s, and tells its nodes so: stop "+
				"it, and run "+
				"this again", w.was)
		}
		if w.ours {
			w.Serving = true
			w.step(Kept, "the server answers at %s", w.URL)
		}
		return nil
	}
	_, inactive := w.Host.Output(ctx, "", "systemctl", "is-active", "--quiet", unit)
	_, disabled := w.Host.Output(ctx, "", "systemctl", "is-enabled", "--quiet", unit)
	w.Serving = true
	if inactive == nil && w.was != "" {
		if !w.DryRun {
			if _, err := w.Host.Output(ctx, "", "systemctl", "restart", unit); err != nil {
				return fmt.Errorf("the server does not start again at its new address: %w", err)
			}
		}
		w.step(Made, "%s restarted: it was at %s, and goes on with its sessions at %s", unit, w.was, w.URL)
		return nil
	}
	if inactive == nil && disabled == nil && w.ours {
		w.step(Kept, "%s serves, and starts with the machine", unit)
		return nil
	}
	if inactive != nil && w.ours {
		return errors.New("this state's server answers already and is not " + unit + "'s: stop it, and run this again")
	}
	if !w.DryRun {
		if _, err := w.Host.Output(ctx, "", "systemctl", "enable", "--now", unit); err != nil {
			log, _ := w.Host.Output(ctx, "", "journalctl", "--no-pager", "--output", "cat", "--lines", "20", "--unit",
				unit)
			return fmt.Errorf("the server does not start: %w\nits last words:\n%s", err, log)
		}
	}
	w.step(Made, "%s started, now and with the machine", unit)
	return nil
}
