// What the drawings share: elements, scales, ticks, colours, and a canvas with axes around it.

const SVG = 'http://www.w3.org/2000/svg';
const VIRIDIS = ['#440154', '#482878', '#3e4a89', '#31688e', '#26828e', '#1f9e89', '#35b779', '#6ece58', '#b5de2b', '#fde725'];
const CATEGORIES = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#d55e00', '#56b4e9', '#8c510a', '#8a8a8a', '#9c7bd0', '#b0a800'];

// el('p', {class: 'note'}, 'text'): an element; text is always set as text.
function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  return filled(made, attributes, children);
}

function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith('on')) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? '' : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ''));
  return made;
}

const byId = (id) => document.getElementById(id);
const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const isDark = () => document.documentElement.dataset.theme === 'dark';

// From values to pixels and back; low and high may be equal.
function scale(low, high, from, to, log = false) {
  const of = log ? Math.log : (value) => value, back = log ? Math.exp : (value) => value;
  const start = of(low), span = of(high) - start;
  const found = (value) => from + (span ? (of(value) - start) / span : 0.5) * (to - from);
  found.invert = (pixel) => back(start + ((pixel - from) / (to - from)) * span);
  found.ticks = (n) => (log ? logTicks(low, high, n) : ticks(low, high, n));
  found.range = [low, high];
  return found;
}

function ticks(low, high, most) {
  if (!(high > low)) return [low];
  const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
  const found = [];
  for (let k = Math.ceil(low / step); k * step <= high * (1 + 1e-12); k += 1) found.push(Number((k * step).toPrecision(12)));
  return found;
}

// As many as there is room for; where not even two powers of ten lie within, more than that.
function logTicks(low, high, most) {
  const first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high));
  let found = null;
  for (const steps of [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 5, 7]]) {
    const within = [];
    for (let power = first; power <= last; power += 1) {
      for (const step of steps) {
        const tick = Number((step * 10 ** power).toPrecision(6));
        if (tick >= low * 0.999 && tick <= high * 1.001) within.push(tick);
      }
    }
    if (within.length > 1 && (within.length <= most || !found)) found = within;
  }
  return found || [low, high];
}

// The extent of a dimension over the trials that are counted; null where there is none.
function extent(one, counts = () => true) {
  let low = Infinity, high = -Infinity;
  for (let i = 0; i < N; i += 1) {
    const value = one.read(i);
    if (typeof value === 'number' && counts(i)) {
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  return low <= high ? [low, high] : null;
}

// The range of a setting: the one that was searched, and whatever lies outside it.
function searchedExtent(one) {
  const found = extent(one);
  if (!found || one.low === undefined) return found;
  return [Math.min(one.low, found[0]), Math.max(one.high, found[1])];
}

// The range of a nats' axis: of the sound trials, without the few that lie far off.
function usualExtent(one) {
  if (!usual.has(one.name)) usual.set(one.name, findUsualExtent(one));
  return usual.get(one.name);
}

const usual = new Map();

function findUsualExtent(one) {
  const finished = [...Array(N).keys()].filter((i) => STATE[i] === 'complete' && isSound(i));
  const counts = new Set(finished.length >= 3 ? finished : [...Array(N).keys()].filter(isSound));
  const floor = scoreFloor([...counts].map(score));
  return extent(one, (i) => counts.has(i) && score(i) >= floor);
}

const rangeOf = (one) => (one.isNats ? usualExtent(one) : searchedExtent(one)) || [0, 1];

const padded = ([low, high], share = 0.08) => {
  const pad = (high - low) * share || 1;
  return [low - pad, high + pad];
};

function mixed(one, other, share) {
  const parts = [1, 3, 5].map((at) => {
    const [a, b] = [one, other].map((colour) => parseInt(colour.slice(at, at + 2), 16));
    return Math.round(a + (b - a) * share).toString(16).padStart(2, '0');
  });
  return `#${parts.join('')}`;
}

// Viridis without the end that the background would swallow, in 256 steps.
function ramp(share) {
  const ends = isDark() ? [0.2, 1] : [0, 0.86], step = Math.round(255 * share);
  const key = ends[0] + step;
  if (!ramps.has(key)) ramps.set(key, viridis(step / 255, ...ends));
  return ramps.get(key);
}

const ramps = new Map();

function viridis(share, from, to) {
  const at = (from + share * (to - from)) * (VIRIDIS.length - 1);
  const place = Math.min(Math.floor(at), VIRIDIS.length - 2);
  return mixed(VIRIDIS[place], VIRIDIS[place + 1], at - place);
}

// How the chosen dimension colours the trials: of(i), and what a legend needs.
function colouring() {
  const one = dimensionOf(CHOSEN.colour), none = ink('faint');
  if (one.choices) {
    return { one, of: (i) => CATEGORIES[(along(one, one.read(i)) ?? -1) % CATEGORIES.length] || none };
  }
  const range = rangeOf(one);
  const log = Boolean(one.log) && range[0] > 0, to = scale(range[0], range[1], 0, 1, log);
  const of = (i) => (one.read(i) === null ? none : ramp(Math.min(1, Math.max(0, to(one.read(i))))));
  return { one, range, log, of };
}

function legend() {
  const { one, range, log } = colouring();
  if (one.choices) {
    return el('span', { class: 'legend' }, one.choices.map((choice, k) => {
      const dot = el('i', { class: 'dot' });
      dot.style.background = CATEGORIES[k % CATEGORIES.length];
      return el('span', {}, dot, shown(choice));
    }));
  }
  const bar = el('i', { class: 'ramp' });
  bar.style.background = `linear-gradient(90deg, ${[...Array(9).keys()].map((k) => ramp(k / 8)).join(', ')})`;
  const middle = log ? Math.sqrt(range[0] * range[1]) : (range[0] + range[1]) / 2;
  const ends = [range[0], one.whole ? Math.round(middle) : middle, range[1]].map((value) => el('span', {}, shownOf(one, value)));
  return el('span', { class: 'legend' }, el('span', { class: 'scale' }, bar, el('span', { class: 'ends' }, ends)));
}

// A grid below, a canvas for many marks, one above it for the few that change often, and SVG for axes and words.
class Chart {
  constructor(holder, height, margins) {
    this.margins = margins;
    this.height = height;
    [this.base, this.top] = [el('canvas'), el('canvas')];
    [this.under, this.axes] = [svg('svg', { 'aria-hidden': 'true' }), svg('svg', { 'aria-hidden': 'true' })];
    this.box = el('div', { class: 'chart', tabindex: '0' }, this.under, this.base, this.top, this.axes);
    this.box.style.height = `${height}px`;
    holder.append(this.box);
  }

  // Fit to the width there is, and clear all.
  begin() {
    this.width = Math.max(240, this.box.clientWidth);
    for (const layer of [this.under, this.axes]) {
      layer.replaceChildren();
      layer.setAttribute('preserveAspectRatio', 'none'); // on paper it is as narrow as the canvas
      layer.setAttribute('viewBox', `0 0 ${this.width} ${this.height}`);
    }
    return this.cleared(this.base);
  }

  cleared(canvas) {
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(this.width * ratio);
    canvas.height = Math.round(this.height * ratio);
    const context = canvas.getContext('2d');
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    return context;
  }

  get area() {
    const { left, right, top, bottom } = this.margins;
    return { x0: left, x1: this.width - right, y0: top, y1: this.height - bottom };
  }

  line(x1, y1, x2, y2, name = 'grid') {
    this[name === 'grid' ? 'under' : 'axes'].append(svg('line', { x1, y1, x2, y2, class: name }));
  }

  text(x, y, words, attributes = {}) {
    this.axes.append(svg('text', { x, y, ...attributes }, words));
  }

  // Axes with ticks, grid and titles; x and y are scales. `write` makes a tick's text.
  frame(x, y, xTitle, yTitle, writeX = shown, writeY = shown) {
    const { x0, x1, y0, y1 } = this.area;
    for (const tick of x.ticks(Math.max(3, Math.floor((x1 - x0) / 75)))) {
      this.line(x(tick), y0, x(tick), y1);
      this.text(x(tick), y1 + 16, writeX(tick), { 'text-anchor': 'middle' });
    }
    for (const tick of y.ticks(Math.max(2, Math.floor((y1 - y0) / 45)))) {
      this.line(x0, y(tick), x1, y(tick));
      this.text(x0 - 7, y(tick) + 4, writeY(tick), { 'text-anchor': 'end' });
    }
    this.line(x0, y1, x1, y1, 'axis');
    this.line(x0, y0, x0, y1, 'axis');
    if (xTitle) this.text((x0 + x1) / 2, this.height - 6, xTitle, { 'text-anchor': 'middle', class: 'title' });
    if (yTitle) this.text(x0 - this.margins.left + 4, y0 - 10, yTitle, { class: 'title' });
  }

  // Where the pointer is, in the chart's own pixels.
  at(event) {
    const box = this.box.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }
}

// A dot too small to tell from a square is one: that is drawn much faster.
function dot(context, x, y, radius, colour, isHollow) {
  if (radius < 2) {
    context.fillStyle = colour;
    context.fillRect(x - radius, y - radius, 2 * radius, 2 * radius);
    return;
  }
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.lineWidth = 1.4;
  context[isHollow ? 'strokeStyle' : 'fillStyle'] = colour;
  context[isHollow ? 'stroke' : 'fill']();
}

function ring(context, x, y, label, colour) {
  dot(context, x, y, 4.5, colour, false);
  context.lineWidth = 2;
  context.strokeStyle = ink('ink');
  context.beginPath();
  context.arc(x, y, 8, 0, 2 * Math.PI);
  context.stroke();
  if (label) {
    context.font = '600 11px system-ui, sans-serif';
    context.lineWidth = 3;
    context.strokeStyle = ink('paper');
    context.fillStyle = ink('ink');
    context.strokeText(label, x + 11, y - 6);
    context.fillText(label, x + 11, y - 6);
  }
}
