package session

import "errors"

// FrameReply tells whether a frame of a capture need not be sent: GET /v1/node/{node}/captures/{id}/frames/{frame}.
type FrameReply struct {
	V    int  `json:"v"`
	Have bool `json:"have"`
}

func (r *FrameReply) version() int { return r.V }
func (r *FrameReply) check() error { return nil }

// CaptureReply names the image that a capture has become: POST /v1/node/{node}/captures/{id}/finish.
type CaptureReply struct {
	V      int    `json:"v"`
	Digest string `json:"digest"` // of the manifest
}

func (r *CaptureReply) version() int { return r.V }

func (r *CaptureReply) check() error {
	if r.Digest == "" {
		return errors.New("capture reply: no digest")
	}
	return nil
}
