// What each hyperparameter does: its importance, and the ranking metric against each of them.

const slices = {
  setUp() {
    this.charts = SETTINGS.map((one) => {
      const holder = el('div', { class: 'slice' });
      byId('slices').append(holder);
      const chart = new Chart(holder, 190, { left: 52, right: 10, top: 26, bottom: 24 });
      chart.box.addEventListener('pointermove', (event) => hover(this.nearest(chart, event)));
      chart.box.addEventListener('click', (event) => {
        const i = this.nearest(chart, event);
        if (i !== null) togglePin(i);
      });
      chart.box.removeAttribute('tabindex');
      return [one, chart];
    });
    this.importance();
  },

  importance() {
    const found = SWEEPS.length === 1 ? SWEEPS[0].importance : null;
    if (!found) return;
    const percent = (share) => `${Math.round(100 * share)} %`;
    const rows = found.rows.map(({ label, share, interval }) => {
      const track = el('span', { class: 'track' }, el('i', { class: 'bar' })), [low, high] = interval || [];
      track.firstChild.style.width = `${100 * share}%`;
      if (interval) {
        const range = el('i', { class: 'range' });
        range.style.left = `${100 * low}%`;
        range.style.width = `${Math.max(0.4, 100 * (high - low))}%`;
        track.append(range);
      }
      const words = interval ? `${percent(share)}, ${Math.round(100 * low)} to ${percent(high)}` : percent(share);
      return el('div', { class: 'importance-row' }, el('span', {}, label), track, el('span', { class: 'share' }, words));
    });
    byId('importance').replaceChildren(...rows, el('p', { class: 'note' }, found.note));
  },

  draw() {
    const sound = [...Array(N).keys()].filter(isSound), one = dimensionOf(METRIC);
    const range = one && usualExtent(one);
    if (!range) return;
    for (const [setting, chart] of this.charts) this.slice(setting, chart, sound, padded(range));
    this.mark();
  },

  slice(one, chart, sound, range) {
    const context = chart.begin(), { x0, x1, y0, y1 } = chart.area;
    const span = one.choices ? [-0.5, one.choices.length - 0.5] : rangeOf(one);
    const log = Boolean(one.log) && span[0] > 0;
    const x = scale(span[0], span[1], x0 + 6, x1 - 6, log), y = scale(...range, y1, y0);
    if (one.choices) x.ticks = () => one.choices.map((_, k) => k);
    chart.frame(x, y, '', '', one.choices ? (k) => shown(one.choices[k]) : shown);
    chart.text(4, 14, one.label, { class: 'title' });
    const { of } = colouring(), faint = ink('faint');
    chart.points = [];
    context.globalAlpha = N > 2000 ? 0.6 : 0.95;
    for (const i of [...sound].reverse()) {
      const place = along(one, one.read(i));
      if (place === null) continue;
      const point = { i, px: x(place), py: Math.min(y1, Math.max(y0, y(metricOf(i)))) };
      chart.points.push(point);
      if (!isSelected(i)) dot(context, point.px, point.py, 1.5, faint, false);
    }
    for (const { i, px, py } of chart.points) if (isSelected(i)) dot(context, px, py, N > 2000 ? 1.4 : 3, of(i), STATE[i] !== 'complete');
    context.globalAlpha = 1;
  },

  mark() {
    const { of } = colouring();
    for (const [, chart] of this.charts) {
      if (!chart.points) continue;
      const context = chart.cleared(chart.top);
      for (const { i, px, py } of chart.points) if (CHOSEN.pins.includes(i) || i === hovered) ring(context, px, py, '', of(i));
    }
  },

  nearest(chart, event) {
    const [mx, my] = chart.at(event);
    let found = null, least = 900;
    for (const { i, px, py } of chart.points || []) {
      const away = (px - mx) ** 2 + (py - my) ** 2;
      if (away < least && isSelected(i)) [found, least] = [i, away];
    }
    return found;
  },
};
