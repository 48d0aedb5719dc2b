// One trial in full: its pictures, the KL of its latents, its numbers. Beside the plane, and in the comparison.

function picture(place, size, words) {
  const image = el('img', { src: DATA.images[place], alt: words, class: 'strip' });
  image.style.setProperty('--across', String(10 * (Math.max(...size) + 1)));
  return image;
}

// [label, element] of each picture that the model has.
function pictureRows(i) {
  const found = picturesOf(i);
  if (!found) return [];
  const rows = [['inputs', 'Held-out images'], ['outputs', 'Reconstructions'], ['samples', 'Samples']];
  return rows.filter(([key]) => found[key] !== undefined)
    .map(([key, label]) => [label, picture(found[key], found.size, `${label} of trial ${idOf(i)}`)]);
}

// Bars of the KL of each latent, the largest first. most: nats of the axis, the largest of all that stand side by side.
const klOf = (i) => (picturesOf(i) || { kl: [] }).kl;
const mostKl = (trials) => Math.max(0.01, ...trials.map((i) => klOf(i)[0] || 0));

function klBars(i, most) {
  const kl = klOf(i);
  if (!kl.length) return null;
  const width = 280, height = 46, step = Math.min(14, width / kl.length);
  const nActive = kl.filter((nat) => nat > 0.05).length;
  const words = `KL of each latent, up to ${nats(kl[0])} nats; ${nActive} of ${kl.length} carry more than 0.05`;
  const bars = kl.map((nat, k) => {
    const tall = Math.max(0.75, (nat / most) * height);
    return svg('rect', { x: k * step, y: height - tall, width: Math.max(0.8, step - 1), height: tall });
  });
  return el('figure', { class: 'kl' }, svg('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': words }, bars),
    el('figcaption', {}, words));
}

function numberRows(i) {
  const rows = DIMENSIONS.filter((one) => one.isNats && one.read(i) !== null).map((one) => [one.label, `${nats(one.read(i))} nats`]);
  const epochs = column('epochs')[i], best = column('best_epoch')[i];
  rows.push(['epochs', best ? `${epochs}, the best is ${best}` : String(epochs)]);
  rows.push(['training', duration(column('seconds')[i])]);
  const mean = DATA.columns.mean_score ? column('mean_score')[i] : null, sd = mean === null ? null : column('sd_score')[i];
  if (sd !== null) rows.push(['over its seeds', `${nats(SIGN * mean)} \u00b1 ${sd.toFixed(2)} nats`]);
  return [...rows, ...SETTINGS.filter((one) => one.read(i) !== null).map((one) => [one.label, shown(one.read(i))])];
}

const numbersTable = (rows) => el('table', { class: 'numbers' }, rows.map(([name, value]) => el('tr', {}, el('th', { scope: 'row' }, name), el('td', {}, value))));

function pinButton(i) {
  const isPinned = CHOSEN.pins.includes(i);
  return el('button', { class: 'pin', 'aria-pressed': String(isPinned), onclick: () => togglePin(i) }, isPinned ? 'Unpin' : 'Pin');
}

const card = {
  draw() {
    card.mark();
  },
  mark() {
    const holder = byId('card');
    const i = hovered ?? CHOSEN.pins.at(-1) ?? bestSelected();
    if (i === null) {
      holder.replaceChildren(el('p', { class: 'note' }, 'No trial is selected.'));
      return;
    }
    const pictures = pictureRows(i);
    holder.replaceChildren(
      el('header', {}, el('h3', {}, `Trial ${idOf(i)}`), el('span', { class: `state ${STATE[i]}` }, STATE[i]), el('span', { class: 'note' }, `rank ${column('rank')[i]}`), pinButton(i)),
      ...pictures.map(([label, image]) => el('figure', {}, el('figcaption', {}, label), image)),
      pictures.length ? '' : el('p', { class: 'note' }, whyNoPicture(i)),
      klBars(i, mostKl([i])) || '',
      numbersTable(numberRows(i)),
      column('error')[i] ? el('p', { class: 'error' }, column('error')[i]) : '',
    );
  },
};

function bestSelected() {
  for (let i = 0; i < N; i += 1) if (isSelected(i) && isSound(i)) return i;
  for (let i = 0; i < N; i += 1) if (isSelected(i)) return i;
  return null;
}

function whyNoPicture(i) {
  if (column('best_epoch')[i] === null) return 'No pictures: it has no finite epoch.';
  if (SWEEPS.some((one) => one.progress === 'running')) return 'No pictures yet.';
  return 'No pictures: the page has those of the best trials and of the front.';
}
