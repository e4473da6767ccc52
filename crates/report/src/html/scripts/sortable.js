// Small tables that stand in the page: a press on a heading sorts their rows.

// What a cell counts as: a number, infinity for what is exact, a text, or nothing.
function worth(cell) {
  const text = cell.textContent.trim();
  if (text === '' || text === '–') return null;
  if (text === 'exact') return Infinity;
  const number = Number(text.replace(/,/g, ''));
  return Number.isNaN(number) ? text : number;
}

// Numbers begin with the largest and words with a; a second press turns it, a third goes back to the first order.
function sortable(table) {
  const body = table.tBodies[0];
  const all = [...body.rows];
  const headings = [...table.tHead.rows[0].cells];
  let state = { by: null, isUp: false };
  headings.forEach((heading, column) => {
    const value = (row) => worth(row.cells[column]);
    const startsUp = heading.classList.contains('l');
    const press = () => {
      if (state.by !== column) state = { by: column, isUp: startsUp };
      else if (state.isUp === startsUp) state.isUp = !startsUp;
      else state.by = null;
      const values = all.map(value).filter((v) => typeof v === 'string');
      // Words among numbers, as `overflow` is, come last with what is missing.
      const isWords = values.length > all.length / 2;
      const key = (row) => { const v = value(row); return !isWords && typeof v === 'string' ? null : v; };
      const rows = state.by === null ? all : sorted([...all.keys()], (i) => key(all[i]), state.isUp).map((i) => all[i]);
      body.append(...rows);
      for (const other of headings) other.removeAttribute('aria-sort');
      if (state.by !== null) heading.setAttribute('aria-sort', state.isUp ? 'ascending' : 'descending');
      say(state.by === null ? 'in the first order' : `sorted by ${heading.textContent}, ${state.isUp ? 'ascending' : 'descending'}`);
    };
    heading.replaceChildren(el('button', { type: 'button', onclick: press }, ...heading.childNodes));
  });
  return table;
}

