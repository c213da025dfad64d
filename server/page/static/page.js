// What the page does besides what htmx does: a key for the search, a place that is kept when the page looks again, and
// the plot of what a cast puts on the wire.
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

  // What a page says of itself, in a place that is read out: from when what it shows is, where that is not now.
  var shown = Date.now(), aside = document.getElementById("aside"), said = "";
  function clock(t) { return new Date(t).toTimeString().slice(0, 8); }
  function tell(words, kind) {
    if (!aside || words === said) return;
    said = words;
    aside.textContent = "";
    if (!words) return;
    var p = document.createElement("p");
    p.className = kind;
    p.textContent = words;
    aside.append(p);
  }

  // Who reads the changing part stays where they are in it when it is made anew. What is selected or typed there is not
  // taken away: it waits for that.
  var places = [], had = false;
  function looks(e) { return e.detail.requestConfig && e.detail.requestConfig.elt.id === "live"; }
  function inUse(live) {
    var on = document.activeElement, s = getSelection();
    if (live.contains(on) && /^(INPUT|TEXTAREA|SELECT)$/.test(on.tagName)) return "Something is typed here";
    if (s && s.rangeCount && !s.isCollapsed && s.getRangeAt(0).intersectsNode(live)) return "Text is selected here";
    return "";
  }
  document.addEventListener("htmx:beforeSwap", function (e) {
    var live = document.getElementById("live");
    places = []; had = false;
    if (!live || e.detail.target !== live || !e.detail.shouldSwap) return;
    var use = looks(e) && inUse(live);
    if (use) {
      e.detail.shouldSwap = false;
      document.body.classList.remove("unheard");
      tell(use + ", so this is how it was at " + clock(shown) + ".", "note");
      return;
    }
    heard();
    had = live.contains(document.activeElement);
    if (!looks(e)) return; // a search shows another list, from its beginning
    live.querySelectorAll(".scroll[id]").forEach(function (x) {
      if (x.scrollTop || x.scrollLeft) places.push([x.id, x.scrollTop, x.scrollLeft]);
    });
  });

  // A server that does not answer, or only with an error, leaves what it said last: the page says of when that is, and
  // shows it without colours.
  function unheard(code) {
    var since = " since " + clock(shown) + "; this is how it was then.";
    document.body.classList.add("unheard");
    tell((code ? "The server answers with an error (" + code + ")" : "The server has not answered") + since, "problem");
  }
  function heard() {
    document.body.classList.remove("unheard");
    shown = Date.now();
    tell("");
  }
  ["sendError", "timeout", "responseError"].forEach(function (name) {
    document.addEventListener("htmx:" + name, function (e) {
      if (e.detail.target && e.detail.target.id === "live") unheard(e.detail.xhr.status);
    });
  });

  document.addEventListener("htmx:afterSwap", function () {
    places.forEach(function (p) {
      var x = document.getElementById(p[0]);
      if (x) { x.scrollTop = p[1]; x.scrollLeft = p[2]; }
    });
    places = [];
    // htmx finds what had the focus again by its id; what is not there any more leaves the focus to the content.
    if (had && document.activeElement === document.body) document.getElementById("main").focus({ preventScroll: true });
    had = false;
  });

  // A form with a file says how far it is, and asks first whether the file would be taken.
  document.addEventListener("submit", function (e) {
    var form = e.target, file = form.elements.file && form.elements.file.files[0];
    if (form.id !== "upload" || !file) return;
    e.preventDefault();
    var get = function (id) { return document.getElementById(id); };
    var button = form.querySelector("button.main"), xhr = new XMLHttpRequest(), began = Date.now();
    var size = function (n) { return n < 1e9 ? (n / 1e6).toFixed(0) + " MB" : (n / 1e9).toFixed(2) + " GB"; };
    var refuse = function (words) {
      get("sending").hidden = true; get("stop").hidden = true; button.disabled = false;
      get("refusal").textContent = words; get("refusal").hidden = false; get("refusal").scrollIntoView();
    };
    // The server's words are in a page of its own: only their text is taken.
    var words = function (page, code) {
      var p = new DOMParser().parseFromString(page, "text/html").querySelector(".problem");
      return p ? p.textContent : "The server refused it (" + code + ").";
    };
    var data = new FormData(form), ask = new URLSearchParams({ name: data.get("name"), level: data.get("level"), size: file.size });
    if (data.get("replace")) ask.set("replace", "yes");
    button.disabled = true;
    get("refusal").hidden = true;
    fetch("/upload/check?" + ask).then(function (r) {
      if (r.status === 204) { begin(); return; }
      if (r.redirected) { location.assign(r.url); return; }
      return r.text().then(function (page) { refuse(words(page, r.status)); });
    }).catch(function () { refuse("The server does not answer. Nothing was sent."); });

    function begin() {
      get("sending").hidden = false; get("stop").hidden = false; get("sent").textContent = "The file is being sent.";
      get("sent-bar").value = 0; get("sent-of").textContent = ""; // of an attempt before
      get("stop").onclick = function () { xhr.abort(); };
      // A network that is gone is no error to a browser for many minutes: the page says that nothing goes on.
      var went = Date.now(), all = false, still = setInterval(function () {
        if (Date.now() - went < 10000) return;
        get("sent").textContent = all ? "All of the file is sent, and the server has not answered since " + clock(went) + "." :
          "Nothing of the file went out since " + clock(went) + ". It goes on if the server takes more of it; Stop ends it.";
      }, 1000);
      xhr.onloadend = function () { clearInterval(still); };
      xhr.upload.onload = function () { went = Date.now(); all = true; };
      xhr.upload.onprogress = function (p) {
        went = Date.now(); get("sent").textContent = "The file is being sent.";
        if (!p.lengthComputable) return;
        var seconds = (Date.now() - began) / 1000, rest = seconds * (p.total - p.loaded) / p.loaded;
        get("sent-bar").value = 100 * p.loaded / p.total;
        get("sent-of").textContent = size(p.loaded) + " of " + size(p.total) + (seconds > 2 ? ", about " + Math.ceil(rest) + " s to go" : "");
      };
      xhr.onload = function () {
        if (xhr.status < 400) location.assign(xhr.responseURL); else refuse(words(xhr.responseText, xhr.status));
      };
      // Whether the server had all of the file by then is not told to a page.
      var unless = " If the server had all of the file by then, it makes the image all the same: look under Images whether it came.";
      xhr.onerror = function () { refuse("The connection broke." + unless + " If it did not, nothing is left of the file; send it again."); };
      xhr.onabort = function () { refuse("Stopped." + unless + " If it did not, nothing is left of the file."); };
      xhr.open("POST", form.action);
      xhr.send(data);
    }
  });

  // A console goes on printing, and what is typed is sent without leaving the page. All that comes is text.
  var screen = document.getElementById("console"), most = 400000, leaving = false, silent = false;
  function follow() {
    // After a silence the first answer is to come at once, as it does to who knows another state.
    var q = new URLSearchParams({ after: screen.dataset.next, state: silent ? "silent" : screen.dataset.state });
    var end = new AbortController(), late = setTimeout(function () { end.abort(); }, 40000); // an answer may take 20 s
    fetch(screen.dataset.from + "?" + q, { headers: { "HX-Request": "true" }, signal: end.signal }).then(function (r) {
      if (r.status !== 200) throw new Error(String(r.status));
      return r.json();
    }).then(function (c) {
      clearTimeout(late);
      silent = false;
      heard();
      if (leaving) return; // its form leads elsewhere: the page is not to be loaded again meanwhile
      var down = screen.scrollTop + screen.clientHeight >= screen.scrollHeight - 30;
      if (c.lost) screen.append("\n[" + c.lost + " bytes are lost]\n");
      if (c.text) screen.append(c.text);
      if (screen.textContent.length > most) screen.textContent = screen.textContent.slice(-most / 2);
      if (down) screen.scrollTop = screen.scrollHeight;
      screen.dataset.next = c.next;
      if (c.state === "closed" && c.text) { follow(); return; } // the rest first
      if (c.state === "closed") { location.reload(); return; }
      // Broken off and opened again: the line that is being typed stays.
      var chip = document.querySelector("#console-state .chip");
      screen.dataset.state = chip.textContent = c.state;
      chip.className = "chip " + (c.state === "open" ? "good" : "busy");
      document.getElementById("console-why").textContent = c.error || "";
      follow();
    }).catch(function (e) {
      clearTimeout(late);
      if (leaving) return;
      if (/^\d+$/.test(e.message)) { location.reload(); return; } // taken, logged out or gone: the page says which
      silent = true;
      unheard(0);
      setTimeout(follow, 3000);
    });
  }
  if (screen) {
    screen.scrollTop = screen.scrollHeight;
    if (screen.dataset.state !== "closed") follow();
  }
  document.addEventListener("submit", function (e) {
    var form = e.target, line = document.getElementById("line");
    if (form.id !== "keys" && form.id !== "key-buttons") { leaving = true; return; }
    e.preventDefault();
    var data = new FormData(form, e.submitter), refused = document.getElementById("keys-refused");
    fetch(form.action, { method: "POST", body: new URLSearchParams(data), headers: { "HX-Request": "true" } }).then(function (r) {
      refused.hidden = r.status === 204;
      if (r.status === 204) { if (form.id === "keys") line.value = ""; return; }
      return r.text().then(function (page) {
        var p = new DOMParser().parseFromString(page, "text/html").querySelector(".problem");
        refused.textContent = p ? p.textContent : "It was not typed (" + r.status + ").";
      });
    }).catch(function () { refused.hidden = false; refused.textContent = "The server does not answer: it was not typed."; });
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
