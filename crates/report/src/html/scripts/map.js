// The map of findings over depth: arrow keys walk through it, and it can show a metric instead.

const MAPPED = 7;

function mapColours(value) {
  const values = Array.from({ length: count }, (_, w) => value(w));
  const finite = values.filter((v) => typeof v === 'number').sort((a, b) => a - b);
  if (!finite.length) return null;
  // Places among all values rather than values: one outlier would leave the rest in one colour.
  const cuts = Array.from({ length: MAPPED - 1 }, (_, i) => finite[Math.floor(((i + 1) * finite.length) / MAPPED)]);
  const step = (v) => cuts.filter((cut) => v > cut).length;
  return { values, step, low: finite[0], high: finite[finite.length - 1] };
}

function rampColour(step) {
  const scale = palette.sequential;
  const [from, to] = palette.dark ? [0.14, 0.95] : [0.1, 0.92];
  const at = from + ((to - from) * step) / (MAPPED - 1);
  const upper = scale.findIndex((stop) => stop[0] >= at);
  const [[a, low], [b, high]] = [scale[upper - 1], scale[upper]];
  return `color-mix(in srgb, ${high} ${Math.round((100 * (at - a)) / (b - a))}%, ${low})`;
}

function startMap(map) {
  const cells = [...map.querySelectorAll('td .cell')];
  if (!cells.length) return;
  const place = new Map();
  [...map.querySelectorAll('tbody tr')].forEach((row, r) => {
    [...row.cells].forEach((cell, c) => {
      const link = cell.querySelector('.cell');
      if (link) place.set(link, [r, c]);
    });
  });
  const at = new Map([...place].map(([link, [r, c]]) => [`${r} ${c}`, link]));
  const links = cells.map((cell) => [cell, Number(cell.getAttribute('href').split('/').pop()), cell.className, cell.title]);
  for (const cell of cells) cell.tabIndex = -1;
  cells[0].tabIndex = 0;
  map.addEventListener('keydown', (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    const from = place.get(event.target);
    if (!step || !from) return;
    let [r, c] = from;
    let next = null;
    for (let tries = 0; tries < 400 && !next; tries++) {
      [r, c] = [r + step[0], c + step[1]];
      next = at.get(`${r} ${c}`);
    }
    if (!next) return;
    event.preventDefault();
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });

  const isVaried = (column) => {
    const colours = mapColours(cellOf(column));
    return colours !== null && colours.low < colours.high;
  };
  const options = data.columns.filter((column) => column.main && isVaried(column));
  if (!options.length) return;
  const legend = map.querySelector('.legend');
  const severities = [...legend.children];
  const select = el('select', { 'aria-label': 'What the map shows' }, el('option', { value: '' }, map.dataset.map),
    options.map((column, i) => el('option', { value: `${i}` }, column.title)));
  const show = () => {
    const column = options[select.value];
    const colours = column && mapColours(cellOf(column));
    for (const [cell, w, states, title] of links) {
      const value = colours ? colours.values[w] : null;
      const isValue = typeof value === 'number';
      cell.className = colours ? (isValue ? 'cell value' : 'cell skipped') : states;
      cell.style.backgroundColor = isValue ? rampColour(colours.step(value)) : '';
      cell.title = colours ? `${nameOf(w)}: ${column.title} ${isValue ? worded(column, value) : 'not defined'}` : title;
      cell.setAttribute('aria-label', cell.title);
    }
    if (!colours) {
      legend.replaceChildren(...severities);
      return;
    }
    const ramp = el('span', { class: 'ramp' }, Array.from({ length: MAPPED }, (_, i) => {
      const patch = el('i');
      patch.style.backgroundColor = rampColour(i);
      return patch;
    }));
    legend.replaceChildren(el('li', {}, worded(column, colours.low), ramp, worded(column, colours.high)), el('li', {}, 'a colour for each seventh of the weights'));
  };
  select.addEventListener('change', show);
  themeListeners.push(show);
  map.querySelector('figcaption').append(el('label', {}, 'show ', select));
}

