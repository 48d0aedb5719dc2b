// The pinned trials side by side: only what differs, and their pictures in line.

const compare = {
  draw() {
    const { pins } = CHOSEN, holder = byId('compare');
    byId('compare-note').textContent = pins.length ? '' : 'Click a point, a curve or a row of the table to pin a trial here; up to four stand side by side.';
    if (!pins.length) {
      holder.replaceChildren();
      return;
    }
    const head = el('tr', {}, el('th', {}), pins.map((i, k) => el('th', { scope: 'col' }, `${k + 1}. Trial ${idOf(i)} `, pinButton(i))));
    holder.replaceChildren(el('table', { class: 'compare' }, el('thead', {}, head), el('tbody', {}, this.numbers(pins), this.pictures(pins))));
  },

  // What ranks always stands there; of the rest, what is not the same in all.
  numbers(pins) {
    const rows = [['state', (i) => STATE[i], false]];
    for (const one of DIMENSIONS) rows.push([one.label, (i) => shownOf(one, one.read(i)), one.name === METRIC]);
    if (DATA.seed_moves && pins.length > 1) rows.push([`against 1; a seed moves ${nats(DATA.seed_moves.sd)}`, (i) => this.against(pins[0], i), true]);
    const others = Object.keys(DATA.columns).filter((name) => name in CONFIG_LABELS && !dimensionOf(name));
    for (const name of others) rows.push([CONFIG_LABELS[name], (i) => shown(column(name)[i]), false]);
    rows.push(['best epoch', (i) => shown(column('best_epoch')[i]), false], ['training', (i) => duration(column('seconds')[i]), false]);
    const differs = (read) => new Set(pins.map(read)).size > 1;
    return rows.filter(([, read, always]) => always || pins.length === 1 || differs(read))
      .filter(([label, , always]) => always || pins.length > 1 || !Object.values(CONFIG_LABELS).includes(label))
      .map(([label, read]) => el('tr', {}, el('th', { scope: 'row' }, label), pins.map((i) => el('td', {}, read(i)))));
  },

  // How far a trial is ahead of another one, and whether that is more than a seed does.
  against(first, i) {
    if (i === first || !isSound(i) || !isSound(first)) return '\u2013';
    const ahead = score(i) - score(first);
    return `${ahead > 0 ? '+' : ''}${nats(ahead)}: ${Math.abs(ahead) > DATA.seed_moves.least ? 'decided' : 'not decided'}`;
  },

  pictures(pins) {
    const columns = pins.map((i) => new Map(pictureRows(i))), most = mostKl(pins);
    const labels = ['Held-out images', 'Reconstructions', 'Samples'].filter((label) => columns.some((one) => one.has(label)));
    const rows = labels.map((label) => el('tr', { class: 'pictures' }, el('th', { scope: 'row' }, label), columns.map((one) => el('td', {}, one.get(label) || '\u2013'))));
    const bars = pins.map((i) => klBars(i, most));
    if (bars.some(Boolean)) rows.push(el('tr', {}, el('th', { scope: 'row' }, 'KL of each latent'), bars.map((one) => el('td', {}, one || '\u2013'))));
    return rows;
  },
};

// The settings that are not searched, by their column: two sweeps may differ in them.
const CONFIG_LABELS = Object.fromEntries(
  Object.keys(DATA.columns).filter((name) => DATA.config.includes(name)).map((name) => [name, name.replaceAll('_', ' ')]),
);
