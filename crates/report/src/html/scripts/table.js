// The table of all weights. Its rows are numbers in an array; elements exist for those that are shown.

const STEP = 200;

// A column's value for a weight.
function cellOf(column) {
  const metric = metricOf(column.a, column.m);
  if (!metric) return () => null;
  if (column.scheme) return schemeOf(column.a, column.m, column.scheme).value;
  if (column.count) return (w) => { const v = metric.value(w); return v && typeof v === 'object' ? v.count : null; };
  if (column.at !== undefined) {
    const [key, share] = ['threshold', 'fraction'].map((name) => (metric.keys || []).indexOf(name));
    return (w) => { const row = (metric.value(w) || []).find((r) => r[key] === column.at); return row ? row[share] : null; };
  }
  return (w) => { const v = metric.value(w); return v !== null && typeof v === 'object' ? null : v; };
}

const worded = (column, value) => (typeof value !== 'number' || !column.show ? shown(value) : column.show === 'share' ? percent(value) : decibels(value));

// Missing values come last, whatever the direction; equals stay in model order.
function sorted(rows, value, isUp) {
  const keyed = rows.map((w) => [w, value(w)]);
  const isMissing = (v) => v === null || v === undefined || v === '';
  const [present, missing] = [keyed.filter((k) => !isMissing(k[1])), keyed.filter((k) => isMissing(k[1]))];
  const sign = isUp ? 1 : -1;
  const order = present.some((k) => typeof k[1] === 'string')
    ? (a, b) => sign * natural.compare(a[1], b[1]) || a[0] - b[0]
    : (a, b) => sign * (a[1] - b[1]) || a[0] - b[0];
  return [...present.sort(order), ...missing].map((k) => k[0]);
}

const natural = new Intl.Collator('en', { numeric: true });

function startTable() {
  const base = [
    { id: 'weight', title: 'weight', text: true, value: nameOf, isName: true },
    { id: 'finding', title: 'finding', text: true, value: (w) => rankOf[w] || null, isFinding: true },
    { id: 'role', title: 'role', text: true, value: roleOf },
    { id: 'block', title: 'block', value: (w) => weights.block[w] },
    { id: 'expert', title: 'expert', value: (w) => weights.expert[w], absent: !weights.expert.some((e) => e !== null) },
    { id: 'shape', title: 'shape', text: true, value: (w) => weights.parameters[w] || weights.shape[w].reduce((a, b) => a * b, 1), word: (w) => weights.shape[w].join(' × ') || 'scalar' },
    { id: 'type', title: 'type', text: true, value: dtypeOf },
    { id: 'parameters', title: 'parameters', value: (w) => weights.parameters[w] },
  ].filter((column) => !column.absent);
  const measured = data.columns.map((column) => ({
    id: `${column.a}.${column.m}${column.count ? '.count' : ''}${column.at === undefined ? '' : column.at}${column.scheme || ''}`, title: column.title,
    value: cellOf(column), word: column.scheme ? schemeOf(column.a, column.m, column.scheme).word : null, column, analyzer: column.a, isShown: column.main,
  }));
  // Counts of trouble that no weight has would push telling numbers out of sight.
  for (const column of measured) {
    let isTelling = false;
    for (let w = 0; w < count && !isTelling; w++) isTelling = Boolean(column.value(w));
    column.isShown = column.isShown && isTelling;
  }
  let columns = [];
  const state = { text: '', role: '', block: '', severity: '', by: null, isUp: false, rows: [], made: 0 };

  const option = (value, text) => el('option', { value }, text || value);
  const roles = [...new Set(Array.from({ length: count }, (_, w) => roleOf(w)))];
  const blocks = [...new Set(weights.block.filter((b) => b !== null))].sort((a, b) => a - b);
  const text = el('input', { type: 'search', id: 'filter', placeholder: 'Filter by name, role or type', 'aria-label': 'Filter weights by words', autocomplete: 'off', spellcheck: 'false' });
  const role = el('select', { 'aria-label': 'Role' }, option('', 'every role'), roles.map((r) => option(r)));
  const block = el('select', { 'aria-label': 'Block' }, option('', 'every block'), option('none', 'outside of blocks'), blocks.map((b) => option(`${b}`, `block ${b}`)));
  const severity = el('select', { 'aria-label': 'Findings' }, option('', 'all weights'), option('1', 'with findings'), option('2', 'warning or worse'), option('3', 'critical'), option('0', 'without findings'));
  const clear = el('button', { type: 'button', hidden: true }, 'Clear');
  const chooser = el('details', { class: 'choose' }, el('summary', {}, 'Columns'));
  const said = el('span', { class: 'said' });
  const head = el('tr');
  const body = el('tbody');
  const rest = el('div', { class: 'rest', hidden: true });
  const table = el('table', { 'aria-label': 'Weights' }, el('thead', {}, head), body);
  const grid = el('div', { class: 'grid', tabindex: '0', role: 'region', 'aria-label': 'Table of weights' }, table, rest);

  function choose() {
    columns = [...base, ...measured.filter((column) => column.isShown)];
    head.replaceChildren(...columns.map((column) => {
      const button = el('button', { type: 'button', onclick: () => sortBy(column) }, column.title);
      const doc = column.column && definitionOf(column.column.a, column.column.m);
      if (doc) hinted(button, `${column.analyzer}.${column.column.m}: ${doc.doc}`);
      const heading = el('th', { scope: 'col', class: column.text ? 'l' : null }, button);
      column.heading = heading;
      return heading;
    }));
    mark();
    rows(0);
  }

  function mark() {
    for (const column of columns) {
      if (state.by === column) column.heading.setAttribute('aria-sort', state.isUp ? 'ascending' : 'descending');
      else column.heading.removeAttribute('aria-sort');
    }
  }

  // Words begin with a, numbers with the largest; a second press turns it, a third goes back to model order.
  function sortBy(column) {
    const startsUp = Boolean(column.text) && !column.isFinding && column.id !== 'shape' || column.id === 'block' || column.id === 'expert';
    if (state.by !== column) [state.by, state.isUp] = [column, startsUp];
    else if (state.isUp === startsUp) state.isUp = !startsUp;
    else state.by = null;
    mark();
    refresh();
    say(state.by ? `sorted by ${column.title}, ${state.isUp ? 'ascending' : 'descending'}` : 'in model order');
  }

  const haystack = Array.from({ length: count }, (_, w) => `${nameOf(w)} ${roleOf(w)} ${dtypeOf(w)} ${textOf(weights.part, w)}`.toLowerCase());

  function refresh() {
    const words = state.text.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (w) => {
      if (state.role && roleOf(w) !== state.role) return false;
      if (state.block && (state.block === 'none' ? weights.block[w] !== null : weights.block[w] !== Number(state.block))) return false;
      if (state.severity && (state.severity === '0' ? rankOf[w] !== 0 : rankOf[w] < Number(state.severity))) return false;
      return words.every((word) => haystack[w].includes(word));
    };
    let found = Array.from({ length: count }, (_, w) => w).filter(fits);
    if (state.by) found = sorted(found, state.by.value, state.isUp);
    state.rows = found;
    const isAll = found.length === count;
    said.textContent = isAll ? `${grouped(count)} weights` : `${grouped(found.length)} of ${grouped(count)} weights`;
    clear.hidden = !(state.text || state.role || state.block || state.severity);
    rows(0);
  }

  function rowOf(w) {
    const row = document.createElement('tr');
    for (const column of columns) {
      let cell;
      if (column.isName) {
        const link = document.createElement('a');
        link.href = pageOf(w);
        link.textContent = nameOf(w);
        link.title = nameOf(w);
        cell = document.createElement('th');
        cell.scope = 'row';
        cell.append(link);
      } else {
        cell = document.createElement('td');
        if (column.text) cell.className = 'l';
        if (column.isFinding) {
          const lost = unmeasured.get(w);
          if (rankOf[w]) cell.append(el('span', { class: `mark ${WORDS[rankOf[w]]}`, 'aria-hidden': 'true' }), WORDS[rankOf[w]]);
          else if (lost) cell.textContent = lost.word;
        } else {
          const value = column.value(w);
          cell.textContent = column.word ? column.word(w) : column.column ? worded(column.column, value) : shown(value);
          if (value === null || value === undefined) cell.classList.add('missing');
        }
      }
      row.append(cell);
    }
    return row;
  }

  function rows(from, many = STEP) {
    if (from === 0) {
      body.replaceChildren();
      grid.scrollTop = 0;
    }
    const more = document.createDocumentFragment();
    const to = Math.min(state.rows.length, from + many);
    for (let i = from; i < to; i++) more.append(rowOf(state.rows[i]));
    body.append(more);
    state.made = to;
    const left = state.rows.length - to;
    rest.hidden = left === 0 && state.rows.length > 0;
    if (state.rows.length === 0) {
      rest.replaceChildren('No weight is like that.');
    } else if (left > 0) {
      rest.replaceChildren(`${grouped(to)} of ${grouped(state.rows.length)} shown`,
        el('button', { type: 'button', onclick: () => rows(to) }, `Show ${Math.min(STEP, left)} more`),
        left > STEP && el('button', { type: 'button', onclick: () => rows(to, Infinity) }, 'Show all'));
    }
  }

  function startChooser() {
    const groups = new Map();
    for (const column of measured) {
      if (!groups.has(column.analyzer)) groups.set(column.analyzer, []);
      groups.get(column.analyzer).push(column);
    }
    const sets = [...groups].map(([analyzer, members]) => el('fieldset', {}, el('legend', {}, analyzer), members.map((column) => {
      const box = el('input', { type: 'checkbox' });
      box.checked = column.isShown;
      box.addEventListener('change', () => {
        column.isShown = box.checked;
        choose();
      });
      return el('label', {}, box, column.title);
    })));
    chooser.append(el('div', {}, sets));
    chooser.addEventListener('keydown', (event) => { if (event.key === 'Escape') { chooser.open = false; chooser.firstChild.focus(); } });
  }

  const inputs = [['text', text, 'input'], ['role', role, 'change'], ['block', block, 'change'], ['severity', severity, 'change']];
  for (const [key, input, event] of inputs) {
    input.addEventListener(event, () => {
      state[key] = input.value;
      refresh();
      say(said.textContent);
    });
  }
  const reset = () => {
    for (const [key, input] of inputs) state[key] = input.value = '';
    refresh();
  };
  clear.addEventListener('click', () => { reset(); text.focus(); });
  text.addEventListener('keydown', (event) => { if (event.key === 'Escape') { event.preventDefault(); reset(); } });
  // What scrolls to the end gets more, without a press.
  grid.addEventListener('scroll', () => {
    const left = state.rows.length - state.made;
    if (left > 0 && grid.scrollTop + grid.clientHeight > grid.scrollHeight - 600) rows(state.made);
  }, { passive: true });

  startChooser();
  byId('table').append(el('div', { class: 'tools', role: 'search' }, text, role, block, severity, clear, measured.length && chooser, said), grid);
  choose();
  refresh();
  return {
    filter(words) {
      reset();
      text.value = state.text = words;
      refresh();
      byId('weights').scrollIntoView();
      text.focus();
    },
    showAtLeast(many) { if (state.made < Math.min(many, state.rows.length)) rows(state.made, many - state.made); },
  };
}

