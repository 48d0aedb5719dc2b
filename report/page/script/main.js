// Everything is in place: set up the views, show what the address says, and follow a sweep that still runs.

const QUIET = 8000; // milliseconds without a key or a pointer before the page may load itself anew
const PATIENCE = 10; // intervals without a new page after which nobody writes one any more

const live = {
  touched: -QUIET,

  setUp() {
    const built = new Date(DATA.built), isRunning = SWEEPS.some((one) => one.progress === 'running');
    const when = built.toLocaleString([], { dateStyle: 'medium', timeStyle: 'medium' });
    const say = () => {
      const age = (Date.now() - built) / 1000, every = DATA.rebuilt_every || 30;
      const isLate = isRunning && age > PATIENCE * every;
      byId('built').textContent = isLate ? `Written ${when}, and not since: the sweep has ended or was cut off.`
        : isRunning ? `Live: written ${when}, ${duration(Math.max(0, age))} ago. It loads itself anew.` : `Written ${when}.`;
      if (isRunning && !isLate && age > every && performance.now() > every * 1000 && performance.now() - this.touched > QUIET) location.reload();
    };
    for (const name of ['pointermove', 'keydown', 'wheel', 'touchstart']) addEventListener(name, () => { this.touched = performance.now(); }, { passive: true });
    say();
    if (isRunning) setInterval(say, 1000);
  },
};

function start() {
  readHash();
  for (const view of [head, plane, parallel, curves, slices, table]) view.setUp();
  views.push(head, plane, card, parallel, curves, slices, compare, table);
  addEventListener('hashchange', () => {
    readHash();
    refresh();
  });
  const redraw = () => views.forEach((view) => view.draw());
  let width = 0;
  new ResizeObserver(() => {
    if (document.body.clientWidth !== width) {
      width = document.body.clientWidth;
      redraw();
    }
  }).observe(document.body);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
  addEventListener('beforeprint', () => {
    document.documentElement.dataset.theme = 'light';
    for (const one of document.querySelectorAll('details')) one.open = true;
    views.filter((view) => view !== head).forEach((view) => view.draw());
  });
  addEventListener('afterprint', redraw);
  live.setUp();
}

start();
