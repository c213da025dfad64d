// What the page does besides what htmx does: a key for the search, and the plot of what a cast puts on the wire.
"use strict";
(function () {
  document.addEventListener("keydown", function (e) {
    var q = document.getElementById("q");
    if (e.key === "/" && q && !/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)) {
      e.preventDefault();
      q.focus();
      q.select();
    }
  });

  var plot, times = [], rates = [], last = null;

  // sample reads how many bytes were on the wire, from the part of the page that changes.
  function sample() {
    var live = document.getElementById("live"), box = document.getElementById("plot");
    if (!live || !box || live.dataset.wire === undefined || typeof uPlot === "undefined") return;
    var now = Date.now() / 1000, wire = Number(live.dataset.wire);
    if (last && now > last.time && wire >= last.wire) {
      times.push(now);
      rates.push((wire - last.wire) * 8 / (now - last.time) / 1e6);
      if (times.length > 1800) { times.shift(); rates.shift(); }
      draw(box);
    }
    last = { time: now, wire: wire };
  }

  function draw(box) {
    box.hidden = false;
    if (plot) { plot.setData([times, rates]); return; }
    var css = getComputedStyle(document.documentElement), into = document.getElementById("wire");
    var accent = css.getPropertyValue("--accent").trim(), calm = css.getPropertyValue("--calm").trim();
    var line = css.getPropertyValue("--line").trim(), axis = { stroke: calm, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
    plot = new uPlot({
      width: into.clientWidth, height: 150, cursor: { show: false },
      scales: { x: { range: function (u, min, max) { return [Math.min(min, max - 60), max]; } }, y: { range: function (u, min, max) { return [0, Math.max(1, max * 1.1)]; } } },
      series: [{}, { stroke: accent, width: 2, fill: accent + "22", points: { show: false } }],
      axes: [Object.assign({ values: function (u, v) { return v.map(function (x) { return new Date(x * 1000).toTimeString().slice(0, 8); }); } }, axis), Object.assign({ size: 90, values: function (u, v) { return v.map(function (x) { return x + " Mbit/s"; }); } }, axis)],
    }, [times, rates], into);
  }

  // The plot's colours are those of the moment in which it is made.
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", function () {
    if (plot) { plot.destroy(); plot = null; draw(document.getElementById("plot")); }
  });
  window.addEventListener("resize", function () {
    if (plot) plot.setSize({ width: document.getElementById("wire").clientWidth, height: 150 });
  });
  document.addEventListener("htmx:afterSettle", sample);
  sample();
})();
