// Every selected trial in a table: sort by a heading, filter, save as CSV.

const ROWS = 50; // shown at first, and more with each press of the button

const table = {
  nRows: ROWS,

  setUp() {
    byId('find').addEventListener('input', (event) => {
      this.nRows = ROWS;
      change({ find: event.target.value });
    });
    byId('save').addEventListener('click', () => this.save());
    byId('more').addEventListener('click', () => {
      this.nRows += 10 * ROWS;
      this.draw();
    });
    const { read } = { read: (name) => dimensionOf(name) || dimension(name, name.replaceAll('_', ' '), {}) };
    const metrics = DIMENSIONS.filter((one) => one.isNats);
    const fresh = [['confirmed_rank', 'confirmed rank', {}], ['confirmed_mean', 'mean of fresh seeds', { isNats: true, better: 1 }],
      ['confirmed_std', 'sd of fresh seeds', { isNats: true }], ['shrinkage', 'shrinkage', { isNats: true }]]
      .filter(([name]) => name in DATA.columns).map((one) => dimension(...one));
    const hasError = column('error').some(Boolean);
    this.columns = [read('rank'), dimension('trial_id', 'trial', {}), read('state'), ...(SWEEP ? [read('sweep')] : []), ...fresh, ...metrics,
      ...SETTINGS, dimension('best_epoch', 'best epoch', {}), read('epochs'), dimension('seconds', 'seconds', { isSeconds: true }), ...(hasError ? [read('error')] : [])];
  },

  get sorted() {
    const name = CHOSEN.sort.replace('-', ''), sign = CHOSEN.sort.startsWith('-') ? -1 : 1;
    const one = this.columns.find((found) => found.name === name);
    const order = everySelected();
    if (!one || CHOSEN.sort === 'rank') return order;
    const empty = (value) => value === null || value === '';
    return order.sort((a, b) => {
      const [x, y] = [one.read(a), one.read(b)];
      if (empty(x) || empty(y)) return empty(x) - empty(y) || a - b; // at the end, whichever way
      return sign * (typeof x === 'number' && typeof y === 'number' ? x - y : String(x).localeCompare(String(y))) || a - b;
    });
  },

  draw() {
    const find = byId('find'), order = this.sorted, seen = order.slice(0, this.nRows);
    if (find.value !== CHOSEN.find) find.value = CHOSEN.find;
    byId('table-head').replaceChildren(el('tr', {}, this.columns.map((one) => this.heading(one))));
    byId('table-body').replaceChildren(...seen.map((i) => this.row(i)));
    byId('table-note').textContent = `${seen.length.toLocaleString('en')} of ${counted(order.length, 'trial')}`;
    byId('more').hidden = seen.length === order.length;
  },

  heading(one) {
    const sort = CHOSEN.sort === one.name ? 'ascending' : CHOSEN.sort === `-${one.name}` ? 'descending' : 'none';
    const next = sort === 'none' ? (one.better === 1 ? `-${one.name}` : one.name) : sort === 'ascending' ? `-${one.name}` : one.name;
    const sign = { ascending: ' \u25b4', descending: ' \u25be', none: '' }[sort];
    return el('th', { scope: 'col', 'aria-sort': sort }, el('button', { onclick: () => change({ sort: next }) }, one.label + sign));
  },

  row(i) {
    const pin = CHOSEN.pins.indexOf(i);
    const cells = this.columns.map((one) => this.cell(one, i));
    return el('tr', {
      tabindex: '0', 'data-trial': idOf(i), class: pin >= 0 ? 'pinned' : null,
      onclick: () => togglePin(i), onpointerenter: () => hover(i), onfocus: () => hover(i), onkeydown: (event) => this.key(event, i),
    }, cells);
  },

  cell(one, i) {
    const value = one.read(i);
    if (one.name === 'state') return el('td', {}, el('span', { class: `state ${value}` }, value));
    if (one.name === 'error') return el('td', { class: 'words' }, value || '');
    const words = one.isSeconds ? value.toFixed(1) : one.name === 'trial_id' ? value : shownOf(one, value);
    return el('td', { class: typeof value === 'number' || value === null ? 'number' : null }, words);
  },

  key(event, i) {
    const row = event.currentTarget;
    if (event.key === 'Enter') {
      togglePin(i);
      requestAnimationFrame(() => [...document.querySelectorAll('#table-body tr')].find((one) => one.dataset.trial === idOf(i))?.focus());
    } else if (event.key === 'ArrowDown') row.nextElementSibling?.focus();
    else if (event.key === 'ArrowUp') row.previousElementSibling?.focus();
    else return;
    event.preventDefault();
  },

  // The selected trials as a file with the columns of leaderboard.csv.
  csv() {
    const names = Object.keys(DATA.columns);
    const quoted = (value) => {
      const text = value === null || value === undefined ? '' : String(value);
      return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    return [names, ...this.sorted.map((i) => names.map((name) => column(name)[i]))].map((row) => `${row.map(quoted).join(',')}\n`).join('');
  },

  save() {
    const link = el('a', { href: URL.createObjectURL(new Blob([this.csv()], { type: 'text/csv' })), download: `${SWEEPS.map((one) => one.name).join('-')}.csv` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  },
};
