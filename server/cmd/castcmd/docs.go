package castcmd

import "github.com/diskcast/diskcast/internal/cast"

// eventDoc is a line of --json about something that happened.
type eventDoc struct {
	Event    string  `json:"event"`
	Receiver string  `json:"receiver,omitempty"` // what it calls itself, or its address
	Addr     string  `json:"addr,omitempty"`
	Why      string  `json:"why"`
	Seconds  float64 `json:"seconds"` // since the program began
}

// senderDoc is a line of --json about how a sender is doing; Event is "end" in the last one.
type senderDoc struct {
	Event          string        `json:"event,omitempty"`
	BytesPerSecond float64       `json:"bytes_per_second"`
	Pace           float64       `json:"pace_bits_per_second"`
	Payload        int64         `json:"payload"` // bytes sent to the group, repair included
	Repair         int64         `json:"repair"`
	Streamed       int64         `json:"streamed"` // bytes sent by unicast
	Pending        int64         `json:"pending"`
	Receivers      []cast.Peer   `json:"receivers"`
	Sending        bool          `json:"sending"`
	Rejected       cast.Rejected `json:"rejected"` // packets, by why
	Warning        string        `json:"warning"`
	Error          string        `json:"error,omitempty"`
	Seconds        float64       `json:"seconds"`
}

func senderDocOf(s *cast.SenderStats, seconds float64) senderDoc {
	return senderDoc{Payload: s.Payload, Repair: s.Repair, Streamed: s.Streamed, Pending: s.Pending,
		Receivers: append([]cast.Peer{}, s.Receivers...), Sending: s.Sending,
		Rejected: s.Rejected, Warning: s.Suspicion, Seconds: seconds}
}

// receiverDoc is a line of --json about how a receiver is doing; Event is "end" in the last one.
type receiverDoc struct {
	Event          string        `json:"event,omitempty"`
	Phase          string        `json:"phase,omitempty"`
	Received       int64         `json:"received"` // bytes
	Size           int64         `json:"size"`
	BytesPerSecond float64       `json:"bytes_per_second"`
	Loss           float64       `json:"loss"` // 0..1
	Multicast      int64         `json:"multicast"`
	Stream         int64         `json:"stream"` // by unicast
	Rejected       cast.Rejected `json:"rejected"`
	Memory         int64         `json:"memory"`
	Warning        string        `json:"warning"`
	Error          string        `json:"error,omitempty"`
	Seconds        float64       `json:"seconds"`
}

func receiverDocOf(s *cast.ReceiverStats, seconds float64) receiverDoc {
	return receiverDoc{Received: s.Size - s.Missing, Size: s.Size, Loss: s.Loss, Multicast: s.Multicast,
		Stream: s.Stream, Rejected: s.Rejected, Memory: s.Memory,
		Warning: s.Suspicion, Seconds: seconds}
}
