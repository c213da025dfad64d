package metrics

// Upper bounds in seconds: a step may take a tenth of a second, a session hours; a request of the API a millisecond.
var (
	durations = []float64{.1, .5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14400}
	answers   = []float64{.001, .005, .02, .05, .1, .5, 1, 5, 30, 120}
)

// histogram counts observations.
type histogram struct {
	bounds []float64
	below  []uint64 // how many were at most the bound
	count  uint64
	sum    float64
}

// observe counts an observation of key, whose histogram is made with bounds when it is the first.
func observe[K comparable](m map[K]*histogram, bounds []float64, key K, v float64) {
	h := m[key]
	if h == nil {
		h = &histogram{bounds: bounds, below: make([]uint64, len(bounds))}
		m[key] = h
	}
	v = max(v, 0) // the clock may have been set back
	h.count++
	h.sum += v
	for i, b := range bounds {
		if v <= b {
			h.below[i]++
		}
	}
}
