// Rate against distortion of every trial; where trials have no rate, what ranks them against its cost.

const plane = {
  setUp() {
    this.chart = new Chart(byId('plane'), 440, { left: 58, right: 18, top: 34, bottom: 42 });
    const { box } = this.chart;
    box.setAttribute('role', 'application');
    box.setAttribute('aria-label', 'Trials as points; the arrow keys go from one to the next, Enter pins it');
    box.addEventListener('pointermove', (event) => hover(this.nearest(event, 60)));
    box.addEventListener('click', (event) => this.click(event));
    box.addEventListener('keydown', (event) => this.key(event));
  },

  x: null,
  y: null,

  draw() {
    const { chart } = this, context = chart.begin(), { x0, x1, y0, y1 } = chart.area;
    const [across, up] = HAS_RATE ? ['val_rate', 'val_distortion'] : ['seconds', METRIC];
    this.across = dimensionOf(across);
    this.up = dimensionOf(up);
    const xs = usualExtent(this.across), ys = usualExtent(this.up);
    byId('plane-title').textContent = HAS_RATE ? 'Rate against distortion' : `${METRIC_LABEL} against training time`;
    this.points = [];
    if (!xs || !ys) {
      chart.text((x0 + x1) / 2, (y0 + y1) / 2, 'No trial has finished an epoch.', { 'text-anchor': 'middle' });
      return;
    }
    const log = !HAS_RATE && xs[0] > 0;
    const wide = log ? [xs[0] / 1.2, xs[1] * 1.2] : HAS_RATE ? [Math.max(0, padded(xs)[0]), padded(xs)[1]] : padded(xs);
    this.x = scale(wide[0], wide[1], x0, x1, log);
    this.y = scale(...padded(ys), y1, y0);
    const units = HAS_RATE ? ['rate R (nats per image, validation)', 'distortion D (nats per image, validation)'] : ['seconds of training', `validation ${METRIC_LABEL} (nats per image)`];
    chart.frame(this.x, this.y, units[0], units[1]);
    this.place();
    if (HAS_RATE) this.isoLines();
    this.dots(context);
    this.front(context);
    this.say();
    this.mark();
  },

  // Lines of equal ELBO, R + D = -ELBO, each with its value where it is furthest from every point.
  isoLines() {
    const [left, right] = this.x.range, [bottom, top] = this.y.range;
    const [lines, words] = [svg('g', { class: 'iso' }), svg('g', { class: 'iso' })];
    for (const level of ticks(left + bottom, right + top, 9)) {
      const from = Math.max(left, level - top), to = Math.min(right, level - bottom);
      if (to - from < 0.04 * (right - left)) continue;
      const [ax, ay, bx, by] = [this.x(from), this.y(level - from), this.x(to), this.y(level - to)];
      lines.append(svg('line', { x1: ax, y1: ay, x2: bx, y2: by }));
      const long = Math.hypot(bx - ax, by - ay), angle = (Math.atan2(by - ay, bx - ax) * 180) / Math.PI;
      if (long < 90) continue;
      const places = [...Array(13).keys()].map((k) => (42 + ((long - 84) * k) / 12) / long).map((share) => [ax + share * (bx - ax), ay + share * (by - ay)]);
      const [tx, ty] = this.freest(places);
      words.append(svg('text', { transform: `translate(${tx} ${ty}) rotate(${angle})`, 'text-anchor': 'middle', dy: 4 }, `ELBO ${shown(-level)}`));
    }
    this.chart.under.append(lines);
    this.chart.axes.prepend(words);
  },

  freest(places) {
    const room = places.map(([x, y]) => this.points.reduce((least, { px, py }) => Math.min(least, (px - x) ** 2 + (py - y) ** 2), Infinity));
    return places[room.indexOf(Math.max(...room))];
  },

  // Each trial's pixels; one outside the axes stands at their border.
  place() {
    const { x0, x1, y0, y1 } = this.chart.area;
    for (let i = N - 1; i >= 0; i -= 1) {
      const [value, other] = [this.across.read(i), this.up.read(i)];
      if (value === null || other === null || column(METRIC)[i] === null) continue;
      const [px, py] = [this.x(value), this.y(other)];
      const cx = Math.min(x1, Math.max(x0, px)), cy = Math.min(y1, Math.max(y0, py));
      this.points.push({ i, px: cx, py: cy, isOutside: cx !== px || cy !== py });
    }
  },

  front(context) {
    if (!HAS_RATE) return;
    for (const sweep of SWEEP ? SWEEPS.map((one) => one.name) : [null]) {
      const on = this.points.filter(({ i, isOutside }) => column('front')[i] && !isOutside && (sweep === null || SWEEP[i] === sweep));
      on.sort((a, b) => a.px - b.px || a.py - b.py);
      context.beginPath();
      for (const { px, py } of on) context.lineTo(px, py);
      context.strokeStyle = ink('front');
      context.lineWidth = 1.5;
      context.stroke();
    }
  },

  dots(context) {
    const { of } = colouring(), faint = ink('faint'), radius = N > 2000 ? 2.5 : N > 400 ? 3.5 : 4.5;
    context.globalAlpha = isFiltered() ? 0.35 : 1;
    for (const { i, px, py } of this.points) if (!isSelected(i)) dot(context, px, py, radius * 0.6, faint, false);
    context.globalAlpha = N > 2000 ? 0.75 : 0.95;
    for (const { i, px, py, isOutside } of this.points) {
      if (isSelected(i)) dot(context, px, py, radius, of(i), isOutside || STATE[i] !== 'complete');
    }
    context.globalAlpha = 1;
  },

  say() {
    const nWithout = N - this.points.length, nOutside = this.points.filter((one) => one.isOutside).length;
    const says = ['Filled: trained to the end. Hollow: stopped early or still running.'];
    if (HAS_RATE) says.push('The line is the front: no other trial has less of both. Dashed: equal ELBO = \u2212(R + D).');
    if (nOutside) says.push(`${counted(nOutside, 'trial')} beyond the axes ${nOutside === 1 ? 'stands' : 'stand'} at their border.`);
    if (nWithout) says.push(`${counted(nWithout, 'trial')} without these numbers ${nWithout === 1 ? 'is' : 'are'} left out.`);
    byId('plane-note').textContent = says.join(' ');
  },

  mark() {
    if (!this.points) return;
    const context = this.chart.cleared(this.chart.top), { of } = colouring();
    for (const { i, px, py } of this.points) {
      const pin = CHOSEN.pins.indexOf(i);
      if (pin >= 0 || i === hovered) ring(context, px, py, pin >= 0 ? `${pin + 1}` : '', of(i));
    }
  },

  nearest(event, within) {
    const [mx, my] = this.chart.at(event);
    let found = null, least = within * within;
    for (const { i, px, py } of this.points || []) {
      const away = (px - mx) ** 2 + (py - my) ** 2 + (isSelected(i) ? 0 : 400);
      if (away < least) [found, least] = [i, away];
    }
    return found;
  },

  click(event) {
    const i = this.nearest(event, 24);
    if (i !== null) {
      hover(i);
      togglePin(i);
    }
  },

  key(event) {
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    if (event.key in steps) {
      const order = this.points.filter(({ i }) => isSelected(i)).sort((a, b) => a.px - b.px).map(({ i }) => i);
      const at = order.indexOf(hovered);
      hover(order[Math.min(order.length - 1, Math.max(0, at < 0 ? 0 : at + steps[event.key]))] ?? null);
    } else if (event.key === 'Enter' && hovered !== null) togglePin(hovered);
    else return;
    event.preventDefault();
  },
};
