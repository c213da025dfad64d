package main

import (
	"fmt"
	"math"
	"strings"
)

// draw plots the bytes sent for an object, and the control messages a second, over the number of receivers that start
// together.
func draw(rows []row) string {
	const w, h, left, top, gap = 360, 220, 60, 40, 80
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" `+
		`font-size="12">`+"\n", 2*w+2*left+gap, h+top+60)
	b.WriteString(`<rect width="100%" height="100%" fill="white"/>` + "\n")
	panel := func(x int, title string, low, high float64, f func(row) float64, ticks []float64, format string) {
		fmt.Fprintf(&b, `<text x="%d" y="24" font-weight="bold">%s</text>`+"\n", x, title)
		y := func(v float64) float64 {
			return float64(top+h) - (min(max(v, low), high)-low)/(high-low)*float64(h)
		}
		at := func(n int) float64 { return float64(x) + math.Log10(float64(n))/4*float64(w) }
		for _, t := range ticks {
			fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" `+
				`text-anchor="end">`+format+`</text>`+"\n", x, x+w, y(t), y(t), x-6, y(t)+4, t)
		}
		for n := 1; n <= 10000; n *= 10 {
			fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%d</text>`+"\n", at(n), top+h+18, n)
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">receivers</text>`+"\n", x+w/2, top+h+36)
		for i, loss := range []float64{0.001, 0.01} {
			colour := []string{"#1f77b4", "#d62728"}[i]
			var points []string
			for _, r := range rows {
				if r.Loss == loss && r.Spread == 0 {
					points = append(points, fmt.Sprintf("%.1f,%.1f", at(r.Receivers), y(f(r))))
					fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", at(r.Receivers), y(f(r)),
						colour)
				}
			}
			fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n",
				strings.Join(points, " "), colour)
			fmt.Fprintf(&b, `<text x="%d" y="%d" fill="%s">%.1f %% loss</text>`+"\n", x+8, top+14+16*i, colour,
				100*loss)
		}
	}
	panel(left, "bytes sent / object", 1, 1.25, func(r row) float64 { return r.Bytes },
		[]float64{1, 1.05, 1.1, 1.15, 1.2, 1.25}, "%.2f")
	panel(left+w+gap, "most control messages in a second", 0, 1200, func(r row) float64 { return float64(r.Peak) },
		[]float64{0, 200, 400, 600, 800, 1000, 1200}, "%.0f")
	b.WriteString("</svg>\n")
	return b.String()
}
