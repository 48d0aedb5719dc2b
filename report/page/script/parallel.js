// Parallel coordinates: a line for each trial through all its hyperparameters and what came of them. Drag to brush.

const GRIP = 32; // pixels of an axis's width that a pointer can take hold of

const parallel = {
  setUp() {
    this.chart = new Chart(byId('parallel'), 330, { left: 56, right: 56, top: 44, bottom: 30 });
    this.chart.box.removeAttribute('tabindex');
    this.chart.axes.removeAttribute('aria-hidden');
  },

  // Each dimension's scale: choices stand side by side, trials without a value at the very bottom.
  scales() {
    const { y0, y1 } = this.chart.area;
    return DIMENSIONS.map((one) => {
      const hasGaps = one.isSetting && DATA.given[one.name];
      const from = hasGaps ? y1 - 22 : y1;
      if (one.choices) return scale(-0.3, one.choices.length - 0.7, from, y0);
      const range = rangeOf(one);
      return scale(range[0], range[1], from, y0, Boolean(one.log) && range[0] > 0);
    });
  },

  draw() {
    const { chart } = this, context = chart.begin(), { x0, x1, y0, y1 } = chart.area;
    const n = DIMENSIONS.length;
    this.xs = DIMENSIONS.map((_, k) => x0 + (n > 1 ? (k / (n - 1)) * (x1 - x0) : 0));
    this.ys = this.scales();
    const { of } = colouring();
    const order = [...Array(N).keys()].reverse();
    context.lineWidth = 1;
    context.globalAlpha = N > 1000 ? 0.1 : 0.35;
    context.strokeStyle = ink('faint');
    if (isFiltered()) for (const i of order) if (!isSelected(i)) this.trace(context, i);
    const nShown = nSelected();
    context.globalAlpha = nShown > 2000 ? 0.12 : nShown > 400 ? 0.3 : nShown > 60 ? 0.6 : 0.9;
    context.lineWidth = nShown > 400 ? 1 : 1.4;
    for (const i of order) {
      if (isSelected(i)) {
        context.strokeStyle = of(i);
        this.trace(context, i);
      }
    }
    DIMENSIONS.forEach((one, k) => this.axis(one, k, y0, y1));
    this.mark();
  },

  // From axis to axis; off the axis where the value lies outside what the others span.
  trace(context, i) {
    const { y0, y1 } = this.chart.area;
    context.beginPath();
    DIMENSIONS.forEach((one, k) => {
      const place = along(one, one.read(i));
      const y = place === null ? y1 + 6 : Math.min(y1 + 6, Math.max(y0 - 6, this.ys[k](place)));
      context.lineTo(this.xs[k], y);
    });
    context.stroke();
  },

  axis(one, k, y0, y1) {
    const { chart } = this, x = this.xs[k], y = this.ys[k];
    chart.line(x, y0, x, y1, 'axis');
    const isLast = k === DIMENSIONS.length - 1;
    const places = one.choices ? one.choices.map((choice, at) => [at, shown(choice)]) : y.ticks(6).map((tick) => [tick, shown(tick)]);
    for (const [at, words] of places) {
      chart.line(x - 4, y(at), x, y(at), 'axis');
      chart.text(x - 7, y(at) + 4, words, { 'text-anchor': 'end', class: 'halo' });
    }
    chart.text(x, 16, one.label, { 'text-anchor': isLast ? 'end' : k ? 'middle' : 'start', class: 'title', dx: isLast ? 40 : k ? 0 : -40 });
    if (one.unit) chart.text(x, 30, one.unit, { 'text-anchor': isLast ? 'end' : 'middle', dx: isLast ? 40 : 0 });
    this.grip(one, k, y0, y1);
  },

  grip(one, k, y0, y1) {
    const range = CHOSEN.brushes.get(one.name);
    const words = range ? `${one.label}: ${range.map((end) => shown(end)).join(' to ')}` : `${one.label}: all`;
    const grip = svg('g', { class: 'grip', tabindex: '0', role: 'slider', 'aria-label': `Brush ${one.label}`, 'aria-valuetext': words, 'data-name': one.name, 'aria-valuenow': range ? range[0] : 0 });
    grip.append(svg('rect', { x: this.xs[k] - GRIP / 2, y: y0 - 6, width: GRIP, height: y1 - y0 + 12, class: 'hold' }));
    if (range) {
      const [top, bottom] = [this.ys[k](range[1]), this.ys[k](range[0])].map((at) => Math.min(y1 + 5, Math.max(y0 - 5, at)));
      grip.append(svg('rect', { x: this.xs[k] - 8, y: top, width: 16, height: Math.max(3, bottom - top), class: 'brush' }));
    }
    grip.addEventListener('pointerdown', (event) => this.drag(event, one, k));
    grip.addEventListener('keydown', (event) => this.key(event, one, k));
    this.chart.axes.append(grip);
  },

  // From where the pointer went down to where it is; without a move the brush goes away.
  drag(event, one, k) {
    event.preventDefault();
    const start = this.chart.at(event)[1];
    const { box } = this.chart;
    const move = (moved) => {
      const now = this.chart.at(moved)[1];
      if (Math.abs(now - start) > 3) brush(one.name, [this.ys[k].invert(Math.max(start, now)), this.ys[k].invert(Math.min(start, now))]);
    };
    const up = (ended) => {
      box.removeEventListener('pointermove', move);
      if (Math.abs(this.chart.at(ended)[1] - start) <= 3) brush(one.name, null);
      this.focus(one.name);
    };
    box.setPointerCapture(event.pointerId);
    box.addEventListener('pointermove', move);
    box.addEventListener('pointerup', up, { once: true });
    box.addEventListener('pointercancel', () => box.removeEventListener('pointermove', move), { once: true });
  },

  // Up and down move the brush, with Shift its upper end alone; Escape takes it away.
  key(event, one, k) {
    const { y0, y1 } = this.chart.area, y = this.ys[k], step = (y1 - y0) / 20;
    const by = { ArrowUp: -step, ArrowDown: step }[event.key];
    if (event.key === 'Escape') brush(one.name, null);
    else if (by !== undefined) {
      const [bottom, top] = CHOSEN.brushes.has(one.name) ? CHOSEN.brushes.get(one.name).map(y) : [y0 + (y1 - y0) / 4 - by, y0 - by];
      brush(one.name, [y.invert(event.shiftKey ? bottom : bottom + by), y.invert(top + by)]);
    } else return;
    event.preventDefault();
    this.focus(one.name);
  },

  // The axes are drawn anew with each change: give the focus back.
  focus(name) {
    requestAnimationFrame(() => {
      const grip = [...this.chart.axes.querySelectorAll('.grip')].find((one) => one.dataset.name === name);
      if (grip) grip.focus();
    });
  },

  mark() {
    if (!this.ys) return;
    const context = this.chart.cleared(this.chart.top);
    context.strokeStyle = ink('ink');
    context.lineWidth = 2.2;
    for (const i of CHOSEN.pins) this.trace(context, i);
    if (hovered !== null) this.trace(context, hovered);
  },
};
