// Puts the page together: sections of figures, routes, keys, printing.

// Of many blocks, those whose heads are most alike or most opposed, each with the tree beside its map.
const TELLING = 6;
const PRINTED = 200;
function telling(figures) {
  const maps = figures.filter((figure) => figure.kind === 'heatmap');
  const strength = (figure) => {
    const [rows, columns] = figure.data.size;
    return cellValues(figure.data.cells).reduce((most, v, i) => (v === null || Math.floor(i / columns) % rows === i % columns ? most : Math.max(most, Math.abs(v))), 0);
  };
  const chosen = new Set(maps.map((figure) => [strength(figure), figure]).sort((a, b) => b[0] - a[0]).slice(0, TELLING).map(([, figure]) => figure));
  // A tree follows its map.
  const shown = new Set();
  let isShown = maps.length === 0;
  for (const figure of figures) {
    if (figure.kind === 'heatmap') isShown = chosen.has(figure);
    if (isShown) shown.add(figure);
  }
  return shown;
}

function fillSection(id, figures, of) {
  const section = byId(id);
  if (!figures.length) return;
  section.hidden = false;
  section.parentElement.hidden = false;
  const entry = document.querySelector(`[data-nav=${id}]`);
  if (entry) entry.hidden = false;
  if (of === 'telling') {
    const shown = telling(figures);
    const rest = figures.filter((figure) => !shown.has(figure));
    section.lastElementChild.append(...figures.filter((figure) => shown.has(figure)).map((figure) => plotted(figure)));
    if (!rest.length) return;
    // Hundreds of them would be a book.
    const more = el('details', { class: rest.length > PRINTED ? 'many' : 'folded' }, el('summary', {}, `${grouped(rest.length)} more figures, of the other blocks`), el('div', { class: section.lastElementChild.className }, rest.map((figure) => plotted(figure))));
    section.append(more);
    return;
  }
  let part = null;
  for (const figure of figures) {
    if (of === 'analyzer' && figure.analyzer !== part) {
      part = figure.analyzer;
      section.lastElementChild.append(el('h3', { class: 'part' }, part, ' ', el('span', { class: 'quiet' }, definitions.get(part)?.summary || '')));
    }
    const weight = figure.w === undefined || figure.w === null ? null : nameOf(figure.w);
    section.lastElementChild.append(plotted(figure, weight));
  }
}

function fillSections() {
  const model = figuresOf.get(null) || [];
  const of = (analyzer) => data.figures.filter((figure) => figure.analyzer === analyzer);
  const isTrend = (figure) => figure.id.startsWith('trend.');
  const known = new Set(['model', 'attention', 'position']);
  const place = byId('architecture').querySelector('.figures');
  // The shares of categories stand above in words.
  const sizes = model.filter((figure) => figure.analyzer === 'model' && figure.id !== 'model.categories');
  place.append(...sizes.map((figure) => plotted(figure)));
  const schemes = byId('schemes');
  if (schemes) {
    known.add('quantization');
    for (const table of schemes.querySelectorAll('.sortable')) sortable(table);
    schemes.querySelector('.figures').append(...model.filter((figure) => figure.analyzer === 'quantization' && !isTrend(figure)).map((figure) => plotted(figure)));
  }
  fillSection('dashboards', dashboards());
  fillSection('trends', model.filter(isTrend));
  const heads = of('attention').filter((figure) => !isTrend(figure));
  const isPair = (figure) => ['heatmap', 'dendrogram'].includes(figure.kind) && (figure.w === null || figure.w === undefined);
  for (const figure of heads.filter(isPair)) figure.isSmall = true;
  fillSection('heads', heads.filter(isPair), 'telling');
  fillSection('headed', heads.filter((figure) => !isPair(figure)));
  fillSection('positions', of('position').filter((figure) => !isTrend(figure)));
  fillSection('more', model.filter((figure) => !isTrend(figure) && !known.has(figure.analyzer)), 'analyzer');
}

// `#/weight/12` is the page of a weight; everything else is a place in the report.
function startRoutes() {
  const [report, page] = [byId('report'), byId('weight')];
  const title = document.title;
  let from = 0;
  const route = () => {
    const match = /^#\/weight\/(\d{1,9})$/.exec(location.hash);
    const w = match ? Number(match[1]) : -1;
    byId('hint').hidden = true;
    if (w >= 0 && w < count) {
      if (!report.hidden) from = scrollY;
      report.hidden = true;
      page.hidden = false;
      const heading = showWeight(page, w);
      document.title = `${nameOf(w)} · ${title}`;
      scrollTo({ top: 0, behavior: 'instant' });
      heading.focus({ preventScroll: true });
      return;
    }
    const wasPage = !page.hidden;
    report.hidden = false;
    page.hidden = true;
    unplot(page);
    page.replaceChildren();
    document.title = title;
    if (!wasPage) return;
    const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    if (target && target !== byId('main')) target.scrollIntoView({ behavior: 'instant' });
    else scrollTo({ top: from, behavior: 'instant' });
  };
  addEventListener('hashchange', route);
  route();
}

// Names the section in sight.
function startNavigation() {
  const links = new Map([...document.querySelectorAll('.side a')].map((a) => [a.getAttribute('href').slice(1), a]));
  const inSight = new Set();
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) inSight.add(entry.target.id);
      else inSight.delete(entry.target.id);
    }
    const first = [...links.keys()].find((id) => inSight.has(id));
    for (const [id, a] of links) {
      if (id === first) a.setAttribute('aria-current', 'true');
      else a.removeAttribute('aria-current');
    }
  }, { rootMargin: '-64px 0px -55% 0px' });
  for (const id of links.keys()) if (byId(id)) watch.observe(byId(id));
}

function startKeys(table) {
  const find = byId('find');
  const go = () => {
    const words = find.value.trim();
    if (!words) return;
    find.value = '';
    const exact = weights.name.indexOf(words);
    if (exact >= 0) location.hash = pageOf(exact);
    else {
      if (byId('report').hidden) location.hash = '#weights';
      setTimeout(() => table.filter(words));
    }
  };
  find.addEventListener('keydown', (event) => {
    if (event.key === 'Enter') go();
    if (event.key === 'Escape') { find.value = ''; find.blur(); }
  });
  document.addEventListener('keydown', (event) => {
    if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    event.preventDefault();
    const filter = byId('filter');
    const place = filter && !byId('report').hidden ? filter.getBoundingClientRect() : null;
    (place && place.top > 0 && place.bottom < innerHeight ? filter : find).focus();
  });
}

// On paper: every finding, every figure, and the first rows of the table.
function startPrinting(table) {
  const opened = [];
  addEventListener('beforeprint', () => {
    for (const details of document.querySelectorAll('details:not([open]):not(.choose, .analyzer, .many)')) {
      details.open = true;
      opened.push(details);
    }
    paintAll();
    table.showAtLeast(STEP);
  });
  addEventListener('afterprint', () => {
    for (const details of opened.splice(0)) details.open = false;
  });
}

revealScripted();
startTheme();
const table = startTable();
for (const map of document.querySelectorAll('[data-map]')) startMap(map);
fillSections();
startRoutes();
startNavigation();
startKeys(table);
startPrinting(table);
document.documentElement.dataset.ready = String(Math.round(performance.now()));
