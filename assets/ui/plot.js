// The loss chart: raw losses thin, smoothed thick, held-out as dots with a line; exact values by mouse and keys.
"use strict";
(() => {
  const POLL_MS = 1500;
  const PAD = { left: 52, right: 14, top: 12, bottom: 38 };
  const HEIGHT = 260;
  const TABLE_ROWS = 200;

  const MARKUP = `
    <div class="lg-plot" tabindex="0" role="group" aria-label="Loss over steps. Arrow keys move through the steps.">
      <canvas height="${HEIGHT}" aria-hidden="true"></canvas>
      <output class="lg-tip" hidden></output>
    </div>
    <div class="lg-plot-foot">
      <p class="lg-key"><span class="raw">each step</span><span class="smooth">smoothed</span><span class="held">held-out</span></p>
      <p class="lg-plot-note"></p>
    </div>
    <p class="lg-hidden" role="status" aria-live="polite"></p>
    <details class="lg-more"><summary>The same as a table</summary>
      <div class="lg-table" tabindex="0" role="region" aria-label="Losses"><table><thead><tr><th>Step</th><th>Loss</th><th>Held-out loss</th></tr></thead><tbody></tbody></table></div>
      <p><a class="lg-csv">All of it as CSV</a></p>
    </details>`;

  class Chart {
    constructor(host, ask) {
      this.host = host;
      this.ask = ask;
      host.innerHTML = MARKUP;
      this.plot = host.querySelector(".lg-plot");
      this.canvas = host.querySelector("canvas");
      this.tip = host.querySelector(".lg-tip");
      this.note = host.querySelector(".lg-plot-note");
      this.summary = host.querySelector("[role=status]");
      this.table = host.querySelector("details");
      this.run = null;
      this.reset();
      this.listen();
    }

    reset() {
      this.train = [];
      this.smooth = [];
      this.held = [];
      this.starts = [];
      this.offset = 0;
      this.cursor = null;
      this.saidAt = 0;
    }

    listen() {
      // also when its step opens: from nothing to its width
      new ResizeObserver(() => { this.draw(); this.poll(); }).observe(this.plot);
      window.addEventListener("garage:paint", () => this.draw());
      this.plot.addEventListener("pointermove", (event) => this.point(event.offsetX));
      this.plot.addEventListener("pointerleave", () => this.moveTo(null));
      this.plot.addEventListener("blur", () => this.moveTo(null));
      this.plot.addEventListener("keydown", (event) => this.key(event));
      this.table.addEventListener("toggle", () => this.fillTable());
      setInterval(() => this.poll(), POLL_MS);
    }

    show(run) {
      if (run === this.run) return;
      this.run = run;
      this.reset();
      this.host.hidden = run === "";
      this.host.querySelector(".lg-csv").href = "garage/runs/" + encodeURIComponent(run) + "/losses.csv";
      this.draw();
      this.poll();
    }

    // only new points are asked for, and only while somebody can see them
    async poll() {
      if (!this.run || this.busy || document.hidden || this.host.offsetParent === null) return;
      this.busy = true;
      const run = this.run;
      try {
        let more = true;
        let news = false;
        while (more && run === this.run) {
          const answer = await this.ask({ run, offset: this.offset });
          if (run !== this.run) break;
          this.offset = answer.offset;
          more = answer.more;
          for (const point of answer.points) this.take(point);
          news ||= answer.points.length > 0;
        }
        if (news) this.refresh();
      } catch {
        // the app is away; the banner says so and the next poll tries again
      } finally {
        this.busy = false;
      }
    }

    take([kind, step, loss]) {
      if (kind === 2) {
        // a resume goes on from a checkpoint: what came after it counts no more
        if (step > 0) this.starts.push(step);
        const kept = (point) => point[0] <= step;
        this.train = this.train.filter(kept);
        this.held = this.held.filter(kept);
        this.starts = this.starts.filter((at) => at <= step);
      } else (kind === 0 ? this.train : this.held).push([step, loss]);
    }

    refresh() {
      this.smooth = smoothed(this.train);
      this.draw();
      this.say();
      if (this.table.open) this.fillTable();
    }

    // ----- drawing
    scales() {
      const all = [...this.train, ...this.held];
      const steps = Math.max(1, ...[this.train.at(-1)?.[0] ?? 0, this.held.at(-1)?.[0] ?? 0]);
      let low = Infinity, high = -Infinity;
      for (const [, loss] of all) { if (loss < low) low = loss; if (loss > high) high = loss; }
      if (!all.length) { low = 0; high = 1; }
      const room = (high - low || high || 1) * 0.08;
      const ticks = niceTicks(Math.max(0, low - room), high + room, 5);
      const width = this.plot.clientWidth;
      const [bottom, top] = [ticks[0], ticks.at(-1)];
      const x = (step) => PAD.left + (step / steps) * (width - PAD.left - PAD.right);
      const y = (loss) => HEIGHT - PAD.bottom - ((loss - bottom) / (top - bottom)) * (HEIGHT - PAD.top - PAD.bottom);
      return { steps, ticks, width, x, y };
    }

    draw() {
      const width = this.plot.clientWidth;
      if (!width) return;
      const ratio = window.devicePixelRatio || 1;
      this.canvas.width = width * ratio;
      this.canvas.height = HEIGHT * ratio;
      this.canvas.style.height = HEIGHT + "px";
      const pen = this.canvas.getContext("2d");
      pen.scale(ratio, ratio);
      const style = getComputedStyle(document.documentElement);
      const colour = (name) => style.getPropertyValue("--lg-" + name).trim();
      const scale = this.scales();
      this.axes(pen, scale, colour);
      if (!this.train.length && !this.held.length) return this.empty(pen, scale, colour);
      this.curve(pen, thin(this.train, scale.width), scale, colour("accent"), 1, 0.4);
      this.curve(pen, thin(this.smooth, scale.width), scale, colour("accent"), 2.5, 1);
      this.curve(pen, this.held, scale, colour("second"), 1.5, 1);
      this.dots(pen, scale, colour("second"), colour("surface"));
      this.cursorLine(pen, scale, colour("muted"));
    }

    axes(pen, { ticks, width, steps, x, y }, colour) {
      pen.font = "12px system-ui, sans-serif";
      pen.lineWidth = 1;
      pen.strokeStyle = colour("line");
      pen.fillStyle = colour("muted");
      pen.textAlign = "right";
      pen.textBaseline = "middle";
      for (const tick of ticks) {
        pen.beginPath();
        pen.moveTo(PAD.left, Math.round(y(tick)) + 0.5);
        pen.lineTo(width - PAD.right, Math.round(y(tick)) + 0.5);
        pen.stroke();
        pen.fillText(label(tick, ticks), PAD.left - 8, y(tick));
      }
      pen.textAlign = "center";
      pen.textBaseline = "top";
      const marks = niceTicks(0, steps, Math.max(2, Math.floor(width / 110))).filter((tick) => tick <= steps && Number.isInteger(tick));
      for (const tick of marks) pen.fillText(tick.toLocaleString("en"), x(tick), HEIGHT - PAD.bottom + 6);
      pen.fillText("step", (PAD.left + width - PAD.right) / 2, HEIGHT - 15);
      pen.save();
      pen.translate(11, (HEIGHT - PAD.bottom) / 2);
      pen.rotate(-Math.PI / 2);
      pen.fillText("loss", 0, -5);
      pen.restore();
      pen.setLineDash([3, 4]);
      for (const at of this.starts) {
        pen.beginPath();
        pen.moveTo(x(at), PAD.top);
        pen.lineTo(x(at), HEIGHT - PAD.bottom);
        pen.stroke();
      }
      pen.setLineDash([]);
      this.note.textContent = (ticks[0] > 0 ? "The loss axis starts at " + label(ticks[0], ticks) + ". " : "") + (this.starts.length ? "Dashed: resumed there." : "");
    }

    empty(pen, { width }, colour) {
      pen.fillStyle = colour("muted");
      pen.textAlign = "center";
      pen.fillText("The curve begins with the first step.", (PAD.left + width) / 2, HEIGHT / 2 - 20);
    }

    curve(pen, points, { x, y }, stroke, lineWidth, alpha) {
      pen.globalAlpha = alpha;
      pen.strokeStyle = stroke;
      pen.lineWidth = lineWidth;
      pen.lineJoin = "round";
      pen.beginPath();
      points.forEach(([step, loss], index) => (index ? pen.lineTo(x(step), y(loss)) : pen.moveTo(x(step), y(loss))));
      pen.stroke();
      pen.globalAlpha = 1;
    }

    dots(pen, { x, y }, fill, ring) {
      for (const [step, loss] of this.held) {
        pen.beginPath();
        pen.arc(x(step), y(loss), 4, 0, 7);
        pen.fillStyle = fill;
        pen.fill();
        pen.lineWidth = 1.5;
        pen.strokeStyle = ring;
        pen.stroke();
      }
    }

    cursorLine(pen, { x }, stroke) {
      if (this.cursor === null) return;
      pen.strokeStyle = stroke;
      pen.lineWidth = 1;
      pen.beginPath();
      pen.moveTo(x(this.cursor), PAD.top);
      pen.lineTo(x(this.cursor), HEIGHT - PAD.bottom);
      pen.stroke();
    }

    // ----- exact values
    steps() {
      return [...new Set([...this.held.map((p) => p[0]), ...this.train.map((p) => p[0])])].sort((a, b) => a - b);
    }

    point(offset) {
      const steps = this.steps();
      if (!steps.length) return;
      const { x } = this.scales();
      this.moveTo(steps.reduce((best, step) => (Math.abs(x(step) - offset) < Math.abs(x(best) - offset) ? step : best)));
    }

    key(event) {
      const steps = this.steps();
      if (!steps.length) return;
      const at = this.cursor === null ? steps.length - 1 : steps.indexOf(this.cursor);
      const far = Math.max(1, Math.round(steps.length / 10));
      const moves = { ArrowLeft: at - 1, ArrowRight: at + 1, PageUp: at - far, PageDown: at + far, Home: 0, End: steps.length - 1 };
      if (event.key === "Escape") return this.moveTo(null);
      if (!(event.key in moves)) return;
      event.preventDefault();
      this.moveTo(steps[Math.min(steps.length - 1, Math.max(0, moves[event.key]))]);
    }

    moveTo(step) {
      this.cursor = step;
      this.tip.hidden = step === null;
      if (step !== null) {
        this.tip.textContent = this.words(step);
        const { x, width } = this.scales();
        const left = x(step);
        this.tip.style.left = Math.min(Math.max(0, left + 10), Math.max(0, width - this.tip.offsetWidth - 4)) + "px";
        if (left + 10 + this.tip.offsetWidth > width) this.tip.style.left = Math.max(0, left - this.tip.offsetWidth - 10) + "px";
      }
      this.draw();
    }

    words(step) {
      const value = (points) => points.find((point) => point[0] === step)?.[1];
      const parts = ["Step " + step.toLocaleString("en")];
      const [raw, smooth, held] = [value(this.train), value(this.smooth), value(this.held)];
      if (raw !== undefined) parts.push("loss " + raw.toFixed(4), "smoothed " + smooth.toFixed(4));
      if (held !== undefined) parts.push("held-out " + held.toFixed(4));
      return parts.join(" · ");
    }

    // not more than once in 15 s: readers should not be talked over
    say() {
      const now = Date.now();
      if (now - this.saidAt < 15000) return;
      this.saidAt = now;
      const [last, first] = [this.smooth.at(-1), this.smooth[0]];
      if (!last) return;
      const held = this.held.at(-1);
      this.summary.textContent = `Step ${last[0]}: smoothed loss ${last[1].toFixed(3)}, it began at ${first[1].toFixed(3)}.` + (held ? ` Held-out loss ${held[1].toFixed(3)}.` : "");
    }

    fillTable() {
      if (!this.table.open) return;
      const train = new Map(this.train), held = new Map(this.held);
      const cell = (row, text) => { row.insertCell().textContent = text; };
      const body = this.table.querySelector("tbody");
      body.textContent = "";
      for (const step of this.steps().slice(-TABLE_ROWS)) {
        const row = body.insertRow();
        cell(row, step.toLocaleString("en"));
        cell(row, train.get(step)?.toFixed(4) ?? "");
        cell(row, held.get(step)?.toFixed(4) ?? "");
      }
    }
  }

  // an average that forgets: over about a twelfth of the curve, at least 3 steps
  function smoothed(points) {
    const keep = 1 - 1 / Math.min(50, Math.max(3, points.length / 12));
    let sum = 0, weight = 0;
    return points.map(([step, loss]) => {
      sum = keep * sum + loss;
      weight = keep * weight + 1;
      return [step, sum / weight];
    });
  }

  // of many points in one pixel column the lowest and the highest are drawn, so no spike is lost
  function thin(points, width) {
    if (points.length <= 2 * width) return points;
    const kept = [];
    const size = points.length / width;
    for (let start = 0; start < points.length; start += size) {
      const part = points.slice(Math.floor(start), Math.floor(start + size));
      if (!part.length) continue;
      let low = part[0], high = part[0];
      for (const point of part) { if (point[1] < low[1]) low = point; if (point[1] > high[1]) high = point; }
      kept.push(...(low[0] <= high[0] ? [low, high] : [high, low]));
    }
    return kept;
  }

  function niceTicks(low, high, wanted) {
    const rough = (high - low) / wanted || 1;
    const power = 10 ** Math.floor(Math.log10(rough));
    const size = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
    const ticks = [];
    for (let index = Math.floor(low / size + 1e-9); ; index++) {
      ticks.push(index * size);
      if (index * size >= high - 1e-9) return ticks;
    }
  }

  function label(tick, ticks) {
    const size = ticks[1] - ticks[0];
    return tick.toFixed(Math.max(0, Math.min(6, Math.ceil(-Math.log10(size) - 1e-9))));
  }

  window.garage.plot = (element, server, watch, props) => {
    const chart = new Chart(element.querySelector(".lg-chart"), (request) => server.new_points(request));
    const show = () => chart.show(props.value ?? "");
    watch("value", show);
    show();
  };
})();
