package cmd

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/diskcast/diskcast/internal/diskrule"
	"github.com/diskcast/diskcast/internal/erasure"
	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/doc"
)

// erasing is what an erase session is asked to do, nil for another kind.
func erasing(s *doc.Session) *erasure.Spec {
	if s.Spec.Kind != erasure.Action {
		return nil
	}
	var job erasure.Spec
	if err := json.Unmarshal(s.Spec.Job, &job); err != nil {
		return &erasure.Spec{Method: "?"}
	}
	return &job
}

// what names what a session is about: its image, or what is done without one.
func what(s *doc.Session) string {
	if job := erasing(s); job != nil {
		return erasure.Action + " " + job.Method
	}
	if s.Spec.Kind != "" && s.Image.Name == "" {
		return s.Spec.Kind
	}
	return s.Image.Name
}

// eraseRows are what `session show` says of an erase.
func eraseRows(s *doc.Session) [][]string {
	job := erasing(s)
	if job == nil {
		return nil
	}
	rows := [][]string{{"kind", erasure.Action}, {"method", job.Method}, {"read back", job.ReadBack}}
	if job.Passes > 1 {
		rows = append(rows, []string{"passes", strconv.Itoa(job.Passes)})
	}
	if job.Pattern != "" {
		rows = append(rows, []string{"pattern", job.Pattern})
	}
	return append(rows, []string{"disk rule", diskrule.Rule(s.Spec.Target)})
}

// termWords say which term of NIST SP 800-88 the receipt of a part claims, and why; empty where nothing was erased.
func termWords(s *doc.Session, p *doc.Part) string {
	if erasing(s) == nil || p.State != doc.Done {
		return ""
	}
	res, err := erasure.ParseResult(p.Result)
	switch {
	case err != nil:
		return "NIST SP 800-88: what the node told of the erase cannot be read: " + err.Error()
	case res.Term == erasure.None:
		return "NIST SP 800-88: no term is claimed"
	}
	return fmt.Sprintf("NIST SP 800-88: %s (%s)", res.Term, plain.Line(res.Reason, 0))
}
