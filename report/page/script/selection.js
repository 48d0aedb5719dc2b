// What the user has chosen. All of it stands in the address after "#", so that a link shows the same view.

const MOST_PINS = 4;
const CHOSEN = {
  colour: '', // a dimension
  curve: 'elbo', // what the curves show ...
  by: 'epoch', // ... against what
  sort: 'rank', // a column of the table; "-rank" is the other way round
  find: '', // the table's filter
  theme: '', // 'light' or 'dark'; '' follows the system
  pins: [], // trials side by side, at most MOST_PINS
  brushes: new Map(), // by dimension: [low, high] in its values, of choices in their places
};
const views = []; // each has draw(), and mark() where it marks single trials
let hovered = null; // the trial that the card shows
let inside = null; // a cached answer of isSelected for every trial
let isAsked = false;

function change(changes) {
  Object.assign(CHOSEN, changes);
  refresh();
}

function refresh() {
  inside = null;
  writeHash();
  if (isAsked) return;
  isAsked = true;
  requestAnimationFrame(() => {
    isAsked = false;
    for (const view of views) view.draw();
  });
}

function hover(i) {
  if (i === hovered || i === null) return;
  hovered = i;
  mark();
}

function mark() {
  for (const view of views) if (view.mark) view.mark();
}

function togglePin(i) {
  const pins = CHOSEN.pins.includes(i) ? CHOSEN.pins.filter((one) => one !== i) : [...CHOSEN.pins, i];
  change({ pins: pins.slice(-MOST_PINS) });
}

function brush(name, range) {
  const brushes = new Map(CHOSEN.brushes);
  if (range) brushes.set(name, range);
  else brushes.delete(name);
  change({ brushes });
}

// The place of a value along its dimension: the value itself, or the number of the choice; null where there is none.
function along(one, value) {
  if (value === null || value === undefined) return null;
  if (!one.choices) return value;
  const place = one.choices.indexOf(value);
  return place < 0 ? null : place;
}

function passes(i) {
  for (const [name, [low, high]] of CHOSEN.brushes) {
    const one = dimensionOf(name), place = along(one, one.read(i));
    if (place === null || place < low || place > high) return false;
  }
  return true;
}

// The words of the table's filter: "failed", "beta<1", "state=pruned", "latent_size>=8".
function conditions(text) {
  return text.trim().split(/\s+/).filter(Boolean).map((word) => {
    const [, name, sign, wanted] = word.match(/^([a-z_]+)(<=|>=|=|<|>)(.+)$/i) || [];
    if (!name || !(name in DATA.columns)) {
      return (i) => `${idOf(i)} ${STATE[i]} ${column('error')[i] || ''}`.toLowerCase().includes(word.toLowerCase());
    }
    const number = Number(wanted.replace('\u2212', '-'));
    const compare = {
      '<': (value) => value < number, '>': (value) => value > number, '<=': (value) => value <= number,
      '>=': (value) => value >= number, '=': (value) => String(value) === wanted || value === number,
    }[sign];
    const values = column(name);
    return (i) => values[i] !== null && compare(values[i]);
  });
}

function selection() {
  if (!inside) {
    const found = conditions(CHOSEN.find);
    inside = new Uint8Array(N);
    for (let i = 0; i < N; i += 1) inside[i] = passes(i) && found.every((holds) => holds(i)) ? 1 : 0;
  }
  return inside;
}

const isSelected = (i) => selection()[i] === 1;
const nSelected = () => selection().reduce((sum, one) => sum + one, 0);
const everySelected = () => [...Array(N).keys()].filter(isSelected);
const isFiltered = () => CHOSEN.brushes.size > 0 || CHOSEN.find.trim() !== '';

function writeHash() {
  const parts = new URLSearchParams();
  for (const [name, initial] of Object.entries(INITIAL)) if (CHOSEN[name] !== initial) parts.set(name, CHOSEN[name]);
  if (CHOSEN.pins.length) parts.set('pins', CHOSEN.pins.map(idOf).join(' '));
  for (const [name, range] of CHOSEN.brushes) parts.set(`only.${name}`, range.map((end) => shortest(end)).join(' '));
  const hash = String(parts);
  if (hash !== location.hash.slice(1)) history.replaceState(null, '', `#${hash}`);
}

const shortest = (number) => String(Number(number.toPrecision(6)));

// What the address says; a word that it should not have is left out.
function readHash() {
  const parts = new URLSearchParams(location.hash.slice(1));
  for (const [name, initial] of Object.entries(INITIAL)) CHOSEN[name] = parts.get(name) ?? initial;
  if (!dimensionOf(CHOSEN.colour)) CHOSEN.colour = INITIAL.colour;
  const ids = (parts.get('pins') || '').split(' ').filter((id) => placeOf.has(id));
  CHOSEN.pins = [...new Set(ids)].slice(0, MOST_PINS).map((id) => placeOf.get(id));
  CHOSEN.brushes = new Map();
  for (const [key, value] of parts) {
    const name = key.startsWith('only.') ? key.slice(5) : '', range = value.split(' ').map(Number);
    if (dimensionOf(name) && range.length === 2 && range.every(Number.isFinite)) CHOSEN.brushes.set(name, range);
  }
}

const INITIAL = {
  colour: dimensionOf('sweep') ? 'sweep' : dimensionOf('beta') ? 'beta' : DIMENSIONS[0].name,
  curve: CHOSEN.curve, by: CHOSEN.by, sort: CHOSEN.sort, find: CHOSEN.find, theme: CHOSEN.theme,
};
