// The head of the page: what the sweep is, what it found, and what was odd. And the bar that stays in sight.

const head = {
  setUp() {
    byId('sweeps').replaceChildren(...SWEEPS.map((one) => this.sweep(one)));
    byId('clear').addEventListener('click', () => change({ brushes: new Map(), find: '' }));
    byId('theme').addEventListener('click', () => change({ theme: isDark() ? 'light' : 'dark' }));
    choices('colour', [...DIMENSIONS, ...OTHERS].map((one) => [one.name, one.label]));
    this.models();
  },

  sweep(one) {
    const mine = [...Array(N).keys()].filter((i) => !SWEEP || SWEEP[i] === one.name);
    const counts = STATES.map((state) => [state, mine.filter((i) => STATE[i] === state).length]).filter(([, n]) => n);
    const planned = one.planned > mine.length ? ` of ${one.planned.toLocaleString('en')}` : '';
    const facts = [`${mine.length.toLocaleString('en')}${planned} trials`, ...(one.wall_seconds ? [duration(one.wall_seconds)] : [])];
    return el('section', { class: 'sweep' },
      el('h1', {}, one.name),
      one.description ? el('p', { class: 'description' }, one.description) : '',
      el('p', { class: 'facts' }, el('span', { class: `state ${one.progress}` }, one.progress), ` ${facts.join(' \u00b7 ')} `, counts.map(([state, n]) => el('span', { class: `state ${state}` }, `${n.toLocaleString('en')} ${state}`))),
      el('p', { class: 'note' }, one.dataset_note),
      one.best.length ? el('div', { class: 'best' }, el('h2', {}, 'The best'), one.best.map((line, k) => el('p', { class: k ? null : 'first' }, line))) : '',
      one.hints.length ? el('div', { class: 'hints' }, el('h2', {}, 'What to try next'), el('ul', {}, one.hints.map((hint) => el('li', {}, hint)))) : '',
      one.warnings.length ? el('div', { class: 'warnings' }, el('h2', {}, 'What was odd'), el('ul', {}, one.warnings.map((line) => el('li', {}, line)))) : '',
      one.command ? this.command(one.command) : '');
  },

  command(text) {
    const words = `python ${text}`;
    const button = el('button', { onclick: async () => {
      await navigator.clipboard.writeText(words).catch(() => getSelection().selectAllChildren(code));
      button.textContent = 'Copied';
    } }, 'Copy');
    const code = el('code', {}, words);
    return el('p', { class: 'command' }, code, button);
  },

  // The best models with all their figures, folded.
  models() {
    const rows = SWEEPS.flatMap((sweep) => sweep.models.map((model) => [sweep, model]));
    byId('models-section').hidden = !rows.length;
    byId('models').replaceChildren(...rows.map(([sweep, model], k) => el('details', { open: k === 0 },
      el('summary', {}, `${SWEEP ? `${sweep.name}, ` : ''}best ${model.rank}: trial ${model.trial_id}`),
      numbersTable(model.numbers),
      el('div', { class: 'figures' }, model.figures.map(([name, place]) => el('img', { src: DATA.images[place], alt: `${name} of trial ${model.trial_id}`, loading: 'lazy' }))),
      model.left_out ? el('p', { class: 'note' }, model.left_out) : '')));
  },

  draw() {
    const system = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
    document.documentElement.dataset.theme = ['dark', 'light'].includes(CHOSEN.theme) ? CHOSEN.theme : system;
    byId('selected').textContent = isFiltered() ? `${nSelected().toLocaleString('en')} of ${counted(N, 'trial')} selected` : counted(N, 'trial');
    byId('clear').hidden = !isFiltered();
    byId('legend').replaceChildren(legend());
    const pins = CHOSEN.pins.map((i, k) => el('button', { class: 'chip', title: 'Unpin', onclick: () => togglePin(i) }, `${k + 1}. ${idOf(i)} \u00d7`));
    byId('pins').replaceChildren(...pins);
  },
};
