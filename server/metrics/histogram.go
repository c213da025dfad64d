package metrics

// Upper bounds in seconds: a step may take a tenth of a second, a session hours.
var durations = []float64{.1, .5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14400}

// histogram counts observations below each bound.
type histogram struct {
	count   uint64
	sum     float64
	buckets map[float64]uint64 // cumulative, by upper bound
}

func observe[K comparable](m map[K]*histogram, key K, v float64) {
	h := m[key]
	if h == nil {
		h = &histogram{buckets: map[float64]uint64{}}
		for _, b := range durations {
			h.buckets[b] = 0
		}
		m[key] = h
	}
	v = max(v, 0) // the clock may have been set back
	h.count++
	h.sum += v
	for _, b := range durations {
		if v <= b {
			h.buckets[b]++
		}
	}
}
