package qemutests

import (
	"regexp"
	"strconv"
	"strings"
)

// pid is the server's; 0 while it does not serve.
func (d *day) pid() int {
	d.Helper()
	out := d.runs("systemctl show --property ActiveState --property MainPID --value diskcast.service")
	pid, state := 0, ""
	for _, w := range strings.Fields(out) {
		if n, err := strconv.Atoi(w); err == nil {
			pid = n
		} else {
			state = w
		}
	}
	if state != "active" {
		return 0
	}
	return pid
}

// judgeServer looks at the service: confined, active, started again when it is killed, which leaves the session as it
// was, and nothing left to do for up.
func (d *day) judgeServer(up, session string) {
	d.Helper()
	if out := d.runs("systemctl status --no-pager diskcast.service"); !strings.Contains(out, "active (running)") {
		d.Errorf("the unit is not running:\n%s", out)
	}
	out := d.runs("systemd-analyze security --no-pager diskcast.service | tail -n 2")
	m := regexp.MustCompile(`exposure level for diskcast\.service: ([0-9.]+)`).FindStringSubmatch(out)
	if m == nil {
		d.Fatalf("systemd-analyze security says\n%s", out)
	}
	if level, err := strconv.ParseFloat(m[1], 64); err != nil || level > 2.5 {
		d.Errorf("systemd-analyze security says %s, and 2.5 is allowed", m[1])
	}
	d.Logf("systemd-analyze security: %s", m[1])
	if out := d.runs(up); !strings.Contains(out, "nothing was to be done") {
		d.Errorf("up, run again, says\n%s", out)
	}
	before := d.pid()
	d.runs("systemctl kill --signal KILL diskcast.service")
	for now := d.pid(); now == 0 || now == before; now = d.pid() {
		if d.ctx.Err() != nil {
			d.Fatal("the server that was killed is not started again")
		}
	}
	if out := d.runs("diskcast session show s1 --json"); !strings.Contains(out, `"state":"`+session+`"`) {
		d.Errorf("after kill -9: %s", out)
	}
	if out := d.runs("journalctl --no-pager --output cat --priority warning --unit diskcast.service"); out != "" {
		d.Logf("the journal has warnings:\n%s", out)
	}
}
