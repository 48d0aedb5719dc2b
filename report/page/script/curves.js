// Learning curves of the selected trials.

const MOST_LINES = 300;
const CURVES = {
  elbo: [`${HAS_RATE ? 'ELBO' : '\u2212distortion'}, validation`, ([rates, distortions]) => distortions.map((d, e) => (d === null || (rates && rates[e] === null) ? null : -(d + (rates ? rates[e] : 0))))],
  train: [`${HAS_RATE ? 'ELBO' : '\u2212distortion'}, training`, ([, , train]) => train],
  rate: ['rate R, validation', ([rates]) => rates],
  distortion: ['distortion D, validation', ([, distortions]) => distortions],
};
const BY = {
  epoch: ['epochs', (_, n) => [...Array(n).keys()].map((e) => e + 1)],
  images: ['images seen', (i, n) => [...Array(n).keys()].map((e) => (e + 1) * sweepOf(i).training_images)],
  seconds: ['seconds of training', (i) => curveOf(i)[3]],
};
const sweepOf = (i) => (SWEEP ? SWEEPS.find((one) => one.name === SWEEP[i]) : SWEEPS[0]);

const curves = {
  setUp() {
    this.chart = new Chart(byId('curves'), 320, { left: 62, right: 18, top: 34, bottom: 42 });
    this.chart.box.addEventListener('pointermove', (event) => hover(this.nearest(event)));
    this.chart.box.addEventListener('click', (event) => {
      const i = this.nearest(event);
      if (i !== null) togglePin(i);
    });
    const options = Object.entries(CURVES).filter(([name]) => name !== 'rate' || HAS_RATE);
    choices('curve', options.map(([name, [label]]) => [name, label]));
    choices('by', Object.entries(BY).map(([name, [label]]) => [name, label]));
  },

  draw() {
    const { chart } = this, context = chart.begin(), { x0, x1, y0, y1 } = chart.area;
    const [label, read] = CURVES[CHOSEN.curve] || CURVES.elbo, [byLabel, places] = BY[CHOSEN.by] || BY.epoch;
    const having = everySelected().filter((i) => curveOf(i) && curveOf(i)[1].length);
    const chosen = [...new Set([...having.slice(0, MOST_LINES), ...CHOSEN.pins.filter((i) => having.includes(i))])];
    this.lines = chosen.map((i) => ({ i, values: read(curveOf(i)) || [], at: places(i, curveOf(i)[1].length) }));
    this.lines = this.lines.filter((line) => line.values.some((value) => value !== null));
    byId('curves-note').textContent = this.note(having.length);
    if (!this.lines.length) {
      chart.text((x0 + x1) / 2, (y0 + y1) / 2, 'No selected trial has such a curve.', { 'text-anchor': 'middle' });
      chart.cleared(chart.top);
      return;
    }
    const ends = this.lines.flatMap(({ at }) => [at[0], at[at.length - 1]]);
    const log = Math.max(...ends) > 100 * Math.min(...ends) && Math.min(...ends) > 0;
    this.x = scale(Math.min(...ends), Math.max(...ends), x0, x1, log);
    this.y = scale(...padded(this.limits(), 0.04), y1, y0);
    chart.frame(this.x, this.y, byLabel, `${label} (nats per image)`, (tick) => (tick >= 1e4 ? `${shown(tick / 1e3)}k` : shown(tick)));
    const { of } = colouring();
    context.save();
    context.beginPath();
    context.rect(x0, y0, x1 - x0, y1 - y0);
    context.clip();
    context.globalAlpha = this.lines.length > 100 ? 0.45 : 0.85;
    context.lineWidth = 1.5;
    for (const line of [...this.lines].reverse()) {
      context.strokeStyle = of(line.i);
      this.trace(context, line);
    }
    context.restore();
    this.mark();
  },

  note(n) {
    const says = [];
    if (this.lines.length < n) says.push(`The best ${this.lines.length} of ${counted(nSelected(), 'selected trial')}.`);
    if (CHOSEN.curve === 'train') says.push('Training numbers are means over an epoch, while the weights move.');
    return says.join(' ');
  },

  // Without the first epochs of the worst: what is far below the usual would flatten the rest.
  limits() {
    const sign = ['rate', 'distortion'].includes(CHOSEN.curve) ? -1 : 1;
    const values = this.lines.flatMap((line) => line.values.filter((value) => value !== null)).map((value) => sign * value);
    const sorted = Float64Array.from(values).sort(), best = sorted[sorted.length - 1];
    const median = sorted[Math.floor(sorted.length / 2)];
    const floor = Math.max(sorted[0], best - 4 * (best - median || 1));
    return [sign * floor, sign * best].sort((a, b) => a - b);
  },

  trace(context, { at, values }) {
    context.beginPath();
    let isDown = false;
    values.forEach((value, e) => {
      if (value === null) isDown = false;
      else {
        context[isDown ? 'lineTo' : 'moveTo'](this.x(at[e]), this.y(value));
        isDown = true;
      }
    });
    context.stroke();
    if (values.length === 1 && values[0] !== null) dot(context, this.x(at[0]), this.y(values[0]), 2.5, context.strokeStyle, false);
  },

  mark() {
    if (!this.lines || !this.lines.length) return;
    const context = this.chart.cleared(this.chart.top), { x0, x1, y0, y1 } = this.chart.area;
    context.beginPath();
    context.rect(x0, y0, x1 - x0, y1 - y0);
    context.clip();
    context.strokeStyle = ink('ink');
    context.lineWidth = 2.4;
    for (const line of this.lines) if (CHOSEN.pins.includes(line.i) || line.i === hovered) this.trace(context, line);
  },

  nearest(event) {
    const [mx, my] = this.chart.at(event);
    let found = null, least = 30 * 30;
    for (const { i, at, values } of this.lines || []) {
      values.forEach((value, e) => {
        if (value === null) return;
        const away = (this.x(at[e]) - mx) ** 2 + (this.y(value) - my) ** 2;
        if (away < least) [found, least] = [i, away];
      });
    }
    return found;
  },
};

// Fill the <select> of that name and follow it.
function choices(name, options) {
  const select = byId(name);
  select.replaceChildren(...options.map(([value, label]) => el('option', { value }, label)));
  select.addEventListener('change', () => change({ [name]: select.value }));
  views.push({ draw: () => { select.value = CHOSEN[name]; } });
}
