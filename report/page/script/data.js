// The page's data: trials are numbered 0 ... N - 1 in the order of the leaderboard.

const DATA = JSON.parse(document.getElementById('data').textContent);
const N = DATA.n, SWEEPS = DATA.sweeps, SIGN = DATA.metric.sign;
const METRIC = SIGN > 0 ? 'val_elbo' : 'val_distortion';
const STATES = ['complete', 'pruned', 'running', 'failed'];
const expanded = {};

// A column as an array with a value for each trial.
function column(name) {
  if (!expanded[name]) {
    const found = DATA.columns[name];
    expanded[name] = Array.isArray(found) ? found : new Array(N).fill(found ? found.all : null);
  }
  return expanded[name];
}

const IDS = column('trial_id'), STATE = column('state'), SWEEP = DATA.columns.sweep ? column('sweep') : null;
const idOf = (i) => (SWEEP ? `${SWEEP[i]}:${IDS[i]}` : IDS[i]);
const placeOf = new Map(IDS.map((_, i) => [idOf(i), i]));
const hasEnded = (i) => STATE[i] !== 'running';
const isSound = (i) => STATE[i] !== 'failed' && column(METRIC)[i] !== null;
const metricOf = (i) => column(METRIC)[i];
const score = (i) => (isSound(i) ? SIGN * metricOf(i) : -Infinity);

// A hyperparameter's value, or null for a trial that does not have it.
function setting(i, name) {
  const flags = DATA.given[name];
  return flags && !flags[i] ? null : column(name)[i];
}

// What can be an axis or a colour: the searched hyperparameters, then what came out.
function dimension(name, label, more) {
  const read = more.isSetting ? (i) => setting(i, name) : (i) => column(name)[i];
  return { name, label, read, ...more };
}

function dimensions() {
  const found = DATA.search.map((one) => dimension(one.name, one.label, {
    isSetting: true, log: one.log, choices: one.choices || fewValues(one), whole: one.type === 'int', low: one.low, high: one.high,
  }));
  if (SWEEP) found.unshift(dimension('sweep', 'sweep', { choices: SWEEPS.map((one) => one.name) }));
  if (!SWEEP && found.length === 0) found.push(dimension('seed', 'seed', { isSetting: true, whole: true }));
  const nats = { isNats: true, unit: 'nats' };
  const outcomes = [
    dimension('val_elbo', 'ELBO', { ...nats, better: 1 }),
    dimension('val_rate', 'rate R', nats),
    dimension('val_distortion', 'distortion D', { ...nats, better: -1 }),
  ];
  return [...found, ...outcomes.filter((one) => column(one.name).some((value) => value !== null))];
}

// The values of an integer that takes few of them, which are then choices side by side.
function fewValues(one) {
  if (one.type !== 'int' || one.log) return null;
  const values = [...new Set(column(one.name))].filter((value) => value !== null).sort((a, b) => a - b);
  return values.length > 1 && values.length <= 5 ? values : null;
}

const DIMENSIONS = dimensions();
const SETTINGS = DIMENSIONS.filter((one) => one.isSetting);
const OTHERS = [
  dimension('state', 'state', { choices: STATES }),
  dimension('epochs', 'epochs', { whole: true }),
  dimension('seconds', 'seconds of training', { log: true, unit: 's' }),
];
const dimensionOf = (name) => [...DIMENSIONS, ...OTHERS].find((one) => one.name === name);
const HAS_RATE = dimensionOf('val_rate') !== undefined;
const METRIC_LABEL = SIGN > 0 && HAS_RATE ? 'ELBO' : 'distortion';

// Numbers as the rest of the program writes them: nats with two digits, settings with four significant ones.
const signed = (text) => text.replace('-', '\u2212');
const nats = (value, digits = 2) => (value === null || value === undefined ? '\u2013' : signed(value.toFixed(digits)));

function shown(value) {
  if (value === null || value === undefined) return '\u2013';
  if (typeof value !== 'number') return String(value).replaceAll('_', ' ');
  if (Number.isInteger(value)) return signed(String(value));
  const text = Number(value.toPrecision(4));
  return signed(text !== 0 && Math.abs(text) < 1e-4 ? text.toExponential().replace('e-', 'e\u2212') : String(text));
}

const shownOf = (one, value) => (one.isNats ? nats(value) : shown(value));
const counted = (n, noun) => `${n.toLocaleString('en')} ${noun}${n === 1 ? '' : 's'}`;

function duration(seconds) {
  if (seconds < 90) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}

// By epoch: R, D, the train ELBO and the seconds so far; null for a trial without a curve in the page.
const curveOf = (i) => DATA.curves[i];
const picturesOf = (i) => DATA.pictures[i];

// The lowest score of the axes: what lies ten times further from the best than the median does would flatten the rest.
function scoreFloor(scores) {
  if (!scores.length) return -Infinity;
  const sorted = [...scores].sort((a, b) => a - b), best = sorted[sorted.length - 1];
  const median = sorted[Math.floor(sorted.length / 2)];
  return median === best ? sorted[0] : Math.max(sorted[0], best - 10 * (best - median));
}
