package cmd

import (
	"encoding/json"
	"strconv"

	"github.com/diskcast/diskcast/internal/diskrule"
	"github.com/diskcast/diskcast/internal/erasure"
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
