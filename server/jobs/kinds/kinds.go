// Package kinds lists the kinds of session. A new kind is a folder beside this one and a line here.
package kinds

import (
	"github.com/diskcast/diskcast/server/jobs"
	"github.com/diskcast/diskcast/server/jobs/capture"
	"github.com/diskcast/diskcast/server/jobs/erase"
	"github.com/diskcast/diskcast/server/jobs/rescue"
	"github.com/diskcast/diskcast/server/jobs/restore"
)

// All returns the kinds that a server knows.
func All() jobs.Kinds {
	return jobs.Kinds{
		restore.Kind{},
		restore.Partition{},
		restore.Disks{},
		capture.Kind{},
		capture.Partition{},
		erase.Kind{},
		rescue.Kind{},
	}
}
