package page

import (
	"net/http"

	"github.com/diskcast/diskcast/server/access"
	"github.com/diskcast/diskcast/server/doc"
)

// jobKinds are what jobs do, in words.
var jobKinds = map[string]string{
	doc.JobVerify: "reads an image whole", doc.JobGC: "frees space", doc.JobOptimize: "makes an image smaller",
	doc.JobPush: "sends an image to a registry", doc.JobPull: "fetches an image",
	doc.JobCut: "makes an image of a partition", doc.JobImport: "makes an image of a file",
}

// jobView is long work on images.
type jobView struct{ *doc.Job }

// What is what the job does, in words.
func (j jobView) What() string { return jobKinds[j.Spec.Kind] }

// Of is the image that it is about.
func (j jobView) Of() string {
	if j.Spec.Name != "" {
		return j.Spec.Name
	}
	return j.Spec.Image
}

// Bar is how far it is.
func (j jobView) Bar() bar { return bar{j.Total > 0, j.Done, j.Total} }

func (v *visit) job() error {
	j, err := get[*doc.Job](v, "/v1/jobs/%s", v.r.PathValue("id"))
	if err != nil {
		return err
	}
	d := jobView{j}
	return v.show(http.StatusOK, "job", d.What()+": "+d.Of(), d)
}

func (v *visit) cancelJob() error {
	id := v.r.PathValue("id")
	return v.once(func() (string, string, error) {
		if _, err := ask[*doc.Job](v, http.MethodPost, path("/v1/jobs/%s/cancel", id), nil); err != nil {
			return "", "", err
		}
		v.did("cancel", "job", id)
		return path("/jobs/%s", id), "The job ends.", nil
	})
}

// going are the jobs that are not over, the oldest first; who is held to machines sees none.
func (v *visit) going() (out []jobView, err error) {
	if v.holder.Within != "" || !v.may(access.Viewer) {
		return nil, nil
	}
	all, err := list[[]doc.Job](v, "/v1/jobs")
	for i := range all {
		if !all[i].Over() {
			out = append(out, jobView{&all[i]})
		}
	}
	return out, err
}
