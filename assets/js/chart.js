/*
 * LapidaryChart: a line chart for the curves of a run, with no dependency.
 *
 *   const chart = LapidaryChart.create(element, {title, unit, yLabel, logScale, smoothing, xMax, series: [{name, label, markers}]});
 *   chart.append({loss: [[step, value], …]});    chart.setMarkers([{step, label}]);    chart.clear();    chart.destroy();
 *   chart.points("loss");    chart.skipped("loss");    chart.setSmoothing(0.9);    chart.setLogScale(true);
 *
 * Points are kept sorted by step; a step that comes twice is replaced. What is not a finite number (null, "NaN") is not drawn
 * but marked at the foot of the plot. A series with `markers` (evaluations) shows its points and is never smoothed. `xMax` is
 * the planned last step; `smoothing: null` or `logScale: null` leaves that control out. Data reach the page through
 * textContent and canvas text only. Colours and fonts are the tokens of tokens.css.
 */
(function () {
  "use strict";
  const COLORS = 6, TABLE_ROWS = 20, TABLE_DELAY_MS = 1000, TOP = 22, BOTTOM = 24, RIGHT = 12;

  function make(tag, attributes, parent, text) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    if (parent) parent.append(node);
    return node;
  }
  function format(value) {
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2).replace("e+", "e").replace(/\.?0+e/, "e");
    return size >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(4)));
  }
  /** The smallest of 1, 2, 5 times a power of ten that is at least `size`. */
  function niceAbove(size) {
    const power = 10 ** Math.floor(Math.log10(size)), share = size / power;
    return power * (share <= 1.0001 ? 1 : share <= 2.0001 ? 2 : share <= 5.0001 ? 5 : 10);
  }
  function ticksBetween(low, high, step) {
    const ticks = [];
    for (let index = Math.ceil(low / step - 1e-9); index * step <= high + step * 1e-9; index += 1) ticks.push(index * step + 0);
    return ticks;
  }
  function logTicks(low, high) {
    const mantissas = high / low > 1000 ? [1] : [1, 2, 5], ticks = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1)
      ticks.push(...mantissas.map((mantissa) => Number(`${mantissa}e${power}`)));
    return ticks.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001);
  }
  function indexAtOrAfter(sorted, value) {
    let low = 0, high = sorted.length;
    while (low < high) { const middle = (low + high) >> 1; if (sorted[middle] < value) low = middle + 1; else high = middle; }
    return low;
  }
  function nearest(sorted, value) {
    const index = indexAtOrAfter(sorted, value);
    return index > 0 && (index === sorted.length || value - sorted[index - 1] <= sorted[index] - value) ? index - 1 : index;
  }

  function create(element, options) {
    const settings = { title: "", unit: "", yLabel: "", logScale: false, smoothing: 0.6, xMax: 0, series: [], ...options };
    const series = settings.series.map((given, index) => ({
      ...given, label: given.label ?? given.name, color: `--lap-series-${(index % COLORS) + 1}`, dashed: index >= COLORS,
      steps: [], values: [], smooth: [], mean: 0, weight: 0, bad: new Set() }));
    const byName = new Map(series.map((one) => [one.name, one]));
    const withUnit = (value) => format(value) + (settings.unit ? ` ${settings.unit}` : "");
    let markers = [], allSteps = null, cursor = null, frame = 0, tableTimer = 0, left = 40, domain = null, view = null;

    const figure = make("figure", { class: "lap-chart" }, element);
    const head = make("figcaption", { class: "lap-chart__head" }, figure);
    make("span", { class: "lap-chart__title" }, head, settings.title);
    const legend = make("ul", { class: "lap-chart__legend" }, head);
    for (const one of series) {
      const item = make("li", { style: `--series: var(${one.color})`, ...(one.markers && { "data-markers": "" }) }, legend);
      make("span", {}, item, one.label);
      one.latest = make("span", { class: "lap-chart__latest" }, item);
    }
    const tools = make("div", { class: "lap-chart__tools" }, head), smoothLabel = make("label", {}, tools, "Smoothing");
    const slider = make("input", { type: "range", min: 0, max: 0.99, step: 0.01, value: settings.smoothing }, smoothLabel);
    smoothLabel.hidden = settings.smoothing === null || series.every((one) => one.markers);
    const logLabel = make("label", {}, tools), logBox = make("input", { type: "checkbox" }, logLabel);
    logLabel.append("Log");
    logLabel.hidden = settings.logScale === null; logBox.checked = settings.logScale;
    const plot = make("div", { class: "lap-chart__plot", role: "img", tabindex: 0, "aria-roledescription": "line chart" }, figure);
    const base = make("canvas", { "aria-hidden": "true" }, plot), over = make("canvas", { "aria-hidden": "true" }, plot);
    const empty = make("div", { class: "lap-chart__empty" }, plot, "No data yet");
    const tip = make("div", { class: "lap-chart__tip", "aria-hidden": "true", hidden: "" }, plot);
    const spoken = make("div", { class: "lap-sr", "aria-live": "polite" }, figure);
    const table = make("table", {}, make("div", { class: "lap-sr" }, figure));

    function insert(one, step, value) {
      const index = indexAtOrAfter(one.steps, step), known = one.steps[index] === step ? 1 : 0, finite = Number.isFinite(value);
      if (index < one.steps.length) one.smooth.length = 0;
      if (finite) one.bad.delete(step); else one.bad.add(step);
      one.steps.splice(index, known, ...(finite ? [step] : []));
      one.values.splice(index, known, ...(finite ? [value] : []));
    }
    /** An exponential mean without the pull towards zero of its first steps; an append extends it. */
    function smoothen(one) {
      const keep = one.markers ? 0 : settings.smoothing;
      if (one.smooth.length === 0) one.mean = one.weight = 0;
      for (const value of one.values.slice(one.smooth.length)) {
        one.mean = one.mean * keep + value * (1 - keep);
        one.weight = one.weight * keep + (1 - keep);
        one.smooth.push(one.mean / one.weight);
      }
    }
    function extent() {
      let first = Infinity, last = -Infinity, low = Infinity, high = -Infinity;
      for (const one of series) {
        smoothen(one);
        for (const step of [...one.steps.slice(0, 1), ...one.steps.slice(-1), ...one.bad]) { first = Math.min(first, step); last = Math.max(last, step); }
        for (const value of one.values) if (!settings.logScale || value > 0) { low = Math.min(low, value); high = Math.max(high, value); }
      }
      return { first, last, low, high };
    }
    /** The axes end on ticks, and stay until the data leave them or fill less than half of them: no jump at each append. */
    function fit({ first, last, low, high }) {
      const x0 = Math.min(0, first), wide = niceAbove(Math.max(last - x0, 1) / 6), log = settings.logScale;
      const x1 = Math.max(settings.xMax, Math.ceil(last / wide) * wide), span = high - low || Math.abs(high) || 1, step = niceAbove(span / 4);
      if (!log && domain && !domain.log && low >= domain.y0 && high <= domain.y1 && span > (domain.y1 - domain.y0) / 2) return { ...domain, x0, x1 };
      const y0 = log ? 1 / niceAbove(1 / low) : Math.floor(low / step) * step, y1 = log ? niceAbove(high) : Math.ceil(high / step) * step;
      return { x0, x1, y0, y1: y1 > y0 ? y1 : log ? y0 * 10 : y0 + step, log };
    }
    function clean(canvas) {
      const ratio = window.devicePixelRatio || 1, width = Math.round(plot.clientWidth * ratio), height = Math.round(plot.clientHeight * ratio);
      if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
      const paint = canvas.getContext("2d");
      paint.setTransform(ratio, 0, 0, ratio, 0, 0);
      paint.clearRect(0, 0, width, height);
      return paint;
    }
    function stroke(paint, ...corners) {
      paint.beginPath();
      for (const [x, y] of corners) paint.lineTo(x, y);
      paint.stroke();
    }
    /** One column of half a pixel holds at most four corners of the line: its first, lowest, highest and last point. */
    function trace(paint, steps, values) {
      let column = NaN, low = 0, high = 0, last = 0;
      paint.beginPath();
      const close = () => { for (const y of low === high ? [] : [low, high, last]) paint.lineTo(column, y); };
      for (let index = 0; index < steps.length; index += 1) {
        if (view.log && values[index] <= 0) continue;
        const x = Math.round(view.x(steps[index]) * 2) / 2, y = view.y(values[index]);
        if (x !== column) { close(); paint.lineTo(x, y); column = x; low = high = y; }
        low = Math.min(low, y); high = Math.max(high, y); last = y;
      }
      close();
      paint.stroke();
    }
    function draw() {
      frame = 0;
      const width = plot.clientWidth, height = plot.clientHeight, styles = getComputedStyle(figure), data = extent(), paint = clean(base);
      const token = (name) => styles.getPropertyValue(name).trim();
      tableTimer ||= setTimeout(describe, TABLE_DELAY_MS);
      empty.hidden = data.low <= data.high;
      empty.textContent = Number.isFinite(data.last) ? "No value can be drawn" : "No data yet";
      view = null;
      if (empty.hidden && width > 80) {
        domain = fit(data);
        paint.font = `11px ${styles.fontFamily}`;
        paint.lineJoin = "round";
        drawAxes(paint, token, width, height);
        for (const one of series) drawSeries(paint, token, one, height - BOTTOM);
      }
      drawCursor();
    }
    function drawAxes(paint, token, width, height) {
      const { x0, x1, y0, y1, log } = domain, yTicks = log ? logTicks(y0, y1) : ticksBetween(y0, y1, niceAbove((y1 - y0) / 5));
      left = Math.max(left, Math.ceil((Math.max(...yTicks.map((tick) => paint.measureText(format(tick)).width)) + 12) / 8) * 8);
      const across = width - left - RIGHT, scale = log ? Math.log : (value) => value, share = (height - TOP - BOTTOM) / (scale(y1) - scale(y0));
      view = { log, x: (step) => left + ((step - x0) / (x1 - x0)) * across, step: (x) => x0 + ((x - left) / across) * (x1 - x0),
        y: (value) => height - BOTTOM - (scale(value) - scale(y0)) * share };
      paint.textBaseline = "middle"; paint.textAlign = "right";
      for (const tick of yTicks) {
        const y = Math.round(view.y(tick));
        paint.fillStyle = token("--lap-line"); paint.fillRect(left, y, across, 1);
        paint.fillStyle = token("--lap-text-3"); paint.fillText(format(tick), left - 8, y);
      }
      paint.textAlign = "left"; paint.fillText(settings.yLabel || settings.unit, 0, 7);
      paint.textAlign = "center";
      for (const tick of ticksBetween(x0, x1, niceAbove((x1 - x0) / Math.max(2, width / 110)))) {
        const text = tick.toLocaleString("en");
        paint.fillText(text, Math.min(view.x(tick), width - paint.measureText(text).width / 2), height - BOTTOM / 2 + 2);
      }
      paint.strokeStyle = token("--lap-text-3"); paint.lineWidth = 1;
      for (const marker of markers) {
        const x = Math.round(view.x(marker.step)) + 0.5;
        paint.setLineDash([2, 3]); stroke(paint, [x, TOP], [x, height - BOTTOM]); paint.setLineDash([]);
        stroke(paint, [x, TOP], [x - 4, TOP - 6], [x + 4, TOP - 6]); paint.fill();
      }
    }
    function drawSeries(paint, token, one, foot) {
      paint.strokeStyle = paint.fillStyle = token(one.color);
      paint.lineWidth = 1; paint.globalAlpha = 0.3;
      if (!one.markers && settings.smoothing > 0) trace(paint, one.steps, one.values);
      paint.lineWidth = 1.75; paint.globalAlpha = 1; paint.setLineDash(one.dashed ? [5, 3] : []);
      trace(paint, one.steps, one.smooth);
      paint.setLineDash([]);
      if (one.markers || one.steps.length === 1) one.steps.forEach((step, index) => dot(paint, step, one.values[index], 3));
      paint.strokeStyle = token("--lap-bad");
      for (const x of [...one.bad].map(view.x)) { stroke(paint, [x - 3, foot - 3], [x + 3, foot + 3]); stroke(paint, [x + 3, foot - 3], [x - 3, foot + 3]); }
      one.latest.textContent = one.values.length ? withUnit(one.smooth[one.smooth.length - 1]) : "";
    }
    function dot(paint, step, value, radius) {
      if (view.log && value <= 0) return;
      paint.beginPath(); paint.arc(view.x(step), view.y(value), radius, 0, 7); paint.fill();
    }
    function stepsOfAll() {
      allSteps ??= [...new Set(series.flatMap((one) => [...one.steps, ...one.bad]).concat(markers.map((marker) => marker.step)))].sort((a, b) => a - b);
      return allSteps;
    }
    function readings(step) {
      return series.flatMap((one) => {
        smoothen(one);
        const index = indexAtOrAfter(one.steps, step), value = one.smooth[index], differs = !one.markers && settings.smoothing > 0;
        if (one.bad.has(step)) return [{ one, value: NaN, text: "not a number" }];
        return one.steps[index] === step ? [{ one, value, text: withUnit(value) + (differs ? ` (raw ${format(one.values[index])})` : "") }] : [];
      });
    }
    function drawCursor() {
      const paint = clean(over), styles = getComputedStyle(figure), token = (name) => styles.getPropertyValue(name).trim();
      tip.hidden = cursor === null || view === null;
      if (tip.hidden) return;
      const x = view.x(cursor);
      paint.fillStyle = token("--lap-field-line"); paint.fillRect(Math.round(x), TOP, 1, plot.clientHeight - TOP - BOTTOM);
      tip.replaceChildren(make("div", { class: "lap-chart__step" }, null, `Step ${cursor.toLocaleString("en")}`));
      for (const { one, value, text } of readings(cursor)) {
        const row = make("div", { style: `--series: var(${one.color})` }, tip);
        make("span", {}, row, one.label); make("span", {}, row, text);
        paint.fillStyle = token("--lap-surface"); dot(paint, cursor, value, 5.5);
        paint.fillStyle = token(one.color); dot(paint, cursor, value, 4);
      }
      for (const marker of markers) if (marker.step === cursor) make("div", { class: "lap-chart__step" }, tip, marker.label);
      const room = plot.clientWidth - tip.offsetWidth, side = x + 12 > room ? x - 12 - tip.offsetWidth : x + 12;
      tip.style.transform = `translate(${Math.max(0, Math.min(room, side))}px, ${TOP}px)`;
    }
    /** Text for those who cannot see the plot: a summary and the last points, brought up to date at most once a second. */
    function describe() {
      tableTimer = 0;
      const parts = series.filter((one) => one.values.length).map(({ label, steps, values, bad }) => `${label}: ${values.length} points, ` +
        `from ${format(values[0])} at step ${steps[0]} to ${format(values.at(-1))} at step ${steps.at(-1)}` + (bad.size ? `, ${bad.size} not a number` : ""));
      plot.setAttribute("aria-label", `${settings.title}. ${parts.join("; ") || "No data yet"}. Arrow keys read the points.`);
      table.replaceChildren();
      make("caption", {}, table, `${settings.title}, last ${TABLE_ROWS} points`);
      const header = make("tr", {}, make("thead", {}, table)), body = make("tbody", {}, table);
      for (const text of ["Step", ...series.map((one) => one.label)]) make("th", { scope: "col" }, header, text);
      for (const step of stepsOfAll().slice(-TABLE_ROWS)) {
        const row = make("tr", {}, body), found = readings(step);
        make("th", { scope: "row" }, row, String(step));
        for (const one of series) make("td", {}, row, found.find((reading) => reading.one === one)?.text ?? "");
      }
    }
    function schedule() { frame ||= requestAnimationFrame(draw); }
    function moveTo(step) { cursor = step; drawCursor(); }
    function point(event) {
      const steps = stepsOfAll();
      if (view !== null) moveTo(steps[nearest(steps, view.step(event.clientX - plot.getBoundingClientRect().left))]);
    }
    function press(event) {
      const steps = stepsOfAll(), last = steps.length - 1, here = cursor === null ? last + 1 : nearest(steps, cursor), page = Math.max(1, Math.round(last / 10));
      const moves = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: last, PageUp: here - page, PageDown: here + page };
      if (event.key === "Escape") moveTo(null);
      if (!(event.key in moves) || last < 0) return;
      event.preventDefault();
      moveTo(steps[Math.max(0, Math.min(last, moves[event.key]))]);
      spoken.textContent = `Step ${cursor}. ` + readings(cursor).map(({ one, text }) => `${one.label} ${text}`).join(", ");
    }
    function append(data) {
      for (const [name, points] of Object.entries(data))
        for (const [step, value] of byName.has(name) ? points : []) insert(byName.get(name), Number(step), value === null ? NaN : Number(value));
      allSteps = null;
      schedule();
    }
    function clear() {
      for (const one of series) { one.steps = []; one.values = []; one.smooth = []; one.bad.clear(); one.latest.textContent = ""; }
      markers = []; allSteps = cursor = domain = null; left = 40;
      schedule();
    }
    function setMarkers(given) { markers = given.map(({ step, label }) => ({ step: Number(step), label: String(label) })); allSteps = null; schedule(); }
    function setSmoothing(value) {
      settings.smoothing = slider.value = Math.max(0, Math.min(0.99, Number(value)));
      for (const one of series) one.smooth = [];
      schedule();
    }
    function setLogScale(on) { settings.logScale = logBox.checked = Boolean(on); domain = null; schedule(); }
    const points = (name) => byName.get(name).steps.map((step, index) => [step, byName.get(name).values[index]]);
    const skipped = (name) => [...byName.get(name).bad].sort((a, b) => a - b);
    slider.addEventListener("input", () => setSmoothing(slider.value));
    logBox.addEventListener("change", () => setLogScale(logBox.checked));
    for (const type of ["pointermove", "pointerdown"]) plot.addEventListener(type, point);
    plot.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") moveTo(null); });
    plot.addEventListener("keydown", press);
    plot.addEventListener("blur", () => moveTo(null));
    const resizes = new ResizeObserver(schedule), themes = new MutationObserver(schedule);
    resizes.observe(plot); themes.observe(document.body, { attributes: true, attributeFilter: ["class"] });
    document.fonts.ready.then(schedule);
    describe();
    function destroy() { cancelAnimationFrame(frame); clearTimeout(tableTimer); resizes.disconnect(); themes.disconnect(); figure.remove(); }
    return { append, clear, setMarkers, setSmoothing, setLogScale, points, skipped, destroy };
  }

  window.LapidaryChart = { create };
})();
