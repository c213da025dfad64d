package web

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/doc"
)

// TestShellExample runs the example for curl against a server.
func TestShellExample(t *testing.T) {
	need.Tools(t, "curl", "jq", "basenc")
	r := newRig(t)
	if code, body, _ := r.call("POST", "/v1/lab", r.id.Token,
		`{"v":1,"machines":[{"name":"pc1","macs":["52:54:00:00:00:01"],"labels":{"room":"210"}}]}`); code != 200 {
		t.Fatalf("%d %s", code, body)
	}
	run := func(image string, each func(out string)) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "sh", "../../docs/examples/sessions.sh", image, "room=210")
		cmd.Env = append(os.Environ(), "DISKCAST_SERVER="+r.srv.URL, "DISKCAST_TOKEN="+r.id.Token,
			"DISKCAST_PIN="+r.id.Pin)
		out := &told{each: each}
		cmd.Stdout, cmd.Stderr, cmd.WaitDelay = out, out, 5*time.Second
		err := cmd.Run()
		return out.all.String(), err
	}
	out, err := run("debian", func(so string) {
		if strings.HasSuffix(so, "session s1\n") { // it follows the session: end that
			if code, body, _ := r.call("POST", "/v1/sessions/s1/cancel", r.id.Token, ""); code != 200 {
				t.Errorf("%d %s", code, body)
			}
		}
	})
	if err != nil || !strings.Contains(out, "pc1: ") || !strings.HasSuffix(out, "cancelled\n") {
		t.Errorf("%v: %s", err, out)
	}
	if out, err = run("nobody's", func(string) {}); err == nil || !strings.Contains(out, `"code":"`) {
		t.Errorf("of an image that is not there: %v: %s", err, out)
	}
}

// told is what a program printed, told to each as it comes.
type told struct {
	all  strings.Builder // no field that is embedded: its ReadFrom would go by Write
	each func(string)
}

func (o *told) Write(b []byte) (int, error) {
	n, err := o.all.Write(b)
	o.each(o.all.String())
	return n, err
}

// TestPlaybook runs the example for Ansible against a server whose operator ends the session that it makes.
func TestPlaybook(t *testing.T) {
	need.Tools(t, "ansible-playbook")
	r := newRig(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() { // ends with the session, or with ctx
		c := r.operator()
		ended <- c.Follow(ctx, client.Filter{}, func(l doc.Line) error {
			if l.Session == nil {
				return nil
			}
			if _, err := c.Cancel(ctx, l.Session.ID); err != nil {
				return err
			}
			return errSeen
		}, nil)
	}()
	cmd := exec.CommandContext(ctx, "ansible-playbook", "-e", "diskcast="+r.srv.URL, "-e", "token="+r.id.Token,
		"-e", "pause=1", "../../docs/examples/machines.yml")
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "ANSIBLE_NOCOLOR=1", "ANSIBLE_LOCALHOST_WARNING=False")
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "the session is cancelled: ") ||
		!strings.Contains(string(out), "ok=3 ") {
		t.Errorf("%v: %s", err, out)
	}
	if err := <-ended; !errors.Is(err, errSeen) {
		t.Error(err)
	}
	if n := len(r.e.Machines()); n != 2 {
		t.Errorf("there are %d machines", n)
	}
}

var errSeen = errors.New("the session was seen")
