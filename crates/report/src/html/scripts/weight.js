// The page of one weight: what it is, what is wrong with it, its figures, and every number with its meaning.

function link(w, text, title) {
  return w === undefined || w === null ? el('span', {}, text) : el('a', { href: pageOf(w), title: title || nameOf(w) }, text);
}

function pager(w) {
  const family = siblingsOf(w);
  const expert = weights.expert[w];
  const same = family.filter((other) => weights.expert[other] === expert);
  const place = same.indexOf(w);
  const entries = place < 0 ? [] : [link(same[place - 1], '← block before'), link(same[place + 1], 'block after →')];
  return el('nav', { class: 'pager', 'aria-label': 'Other weights' }, entries,
    link(w > 0 ? w - 1 : null, '↑ previous'), link(w + 1 < count ? w + 1 : null, '↓ next'));
}

function facts(w) {
  const heads = weights.heads[w];
  const matrix = weights.matrix[w];
  const confidence = textOf(weights.confidence, w);
  const tower = textOf(weights.stack, w);
  const form = formOf.get(w);
  const list = [
    weights.other && weights.other[w] && ['Against', weights.other[w], ''],
    ['Role', roleOf(w), [tower, textOf(weights.part, w) === 'weight' ? '' : textOf(weights.part, w), confidence === 'known' ? '' : confidence].filter(Boolean).join(', ')],
    weights.block[w] !== null && ['Block', `${weights.block[w]}`, weights.expert[w] === null ? '' : `expert ${weights.expert[w]}`],
    ['Shape', weights.shape[w].join(' × ') || 'scalar', weights.transposed[w] ? 'stored in × out' : matrix ? 'out × in' : ''],
    heads && ['Heads', `${heads[0]}`, `of ${heads[2]}${heads[1] === heads[0] ? '' : `, ${heads[1]} key-value`}`],
    ['Stored as', dtypeOf(w), form ? form.detail : ''],
    form && ['Size', form.bytes, ''],
    form && form.parts.length > 0 && ['Parts', `${form.parts.length}`, form.parts.join(', ')],
    ['Parameters', grouped(weights.parameters[w]), ''],
  ];
  return el('dl', { class: 'facts' }, list.filter(Boolean).map(([name, value, detail]) =>
    el('div', {}, el('dt', {}, name), el('dd', { class: `${value}${detail}`.length > 60 ? 'long' : null }, value, detail && el('span', {}, ` ${detail}`)))));
}

function findingsList(found, isFact) {
  return found.map((finding) => {
    const numbers = [];
    if (finding.metric && finding.value !== undefined) numbers.push(`${finding.metric} ${shown(finding.value)}`);
    if (finding.threshold !== undefined) numbers.push(`line ${shown(finding.threshold)}`);
    if (finding.reference && finding.reference[1] !== null) numbers.push(`${finding.reference[0]} ${shown(finding.reference[1])}`);
    return el('article', { class: `finding ${finding.severity}` },
      el('header', {}, el('span', { class: `mark ${finding.severity}`, 'aria-hidden': 'true' }), el('h3', {}, finding.code),
        el('span', { class: 'severity' }, isFact ? (finding.cause ? `follows from ${finding.cause}` : 'fact') : finding.severity, finding.known && ', known before')),
      el('p', {}, finding.message, numbers.length > 0 && el('span', { class: 'numbers' }, numbers.join(' · '))),
      finding.advice && el('p', { class: 'advice' }, el('b', {}, 'What to do'), finding.advice));
  });
}

// A metric over the weight's siblings, in model order, with its own place.
function spark(w, metric, family) {
  const points = family.map((other, i) => [i, metric.value(other), other]).filter((p) => typeof p[1] === 'number');
  if (points.length < 4) return null;
  const values = points.map((p) => p[1]);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const x = (i) => (82 * i) / (family.length - 1) + 1;
  const y = (v) => (high > low ? 16 - (14 * (v - low)) / (high - low) : 9);
  const own = points.find((p) => p[2] === w);
  const path = points.map(([i, v], k) => `${k ? 'L' : 'M'}${x(i).toFixed(1)} ${y(v).toFixed(1)}`).join('');
  const label = `${shown(low)} to ${shown(high)} over ${points.length} siblings, median ${shown(median(values))}`;
  return svg('svg', { class: 'spark', viewBox: '0 0 84 18', role: 'img', 'aria-label': label }, svg('title', {}, label), svg('path', { d: path }), own && svg('circle', { cx: x(own[0]), cy: y(own[1]), r: 2.6 }));
}

// A value within a value, in a few words.
function brief(v) {
  if (v === null || typeof v !== 'object') return shown(v);
  if (Array.isArray(v)) return v.length > 6 || v.some((x) => x !== null && typeof x === 'object') ? `${grouped(v.length)} values` : v.map(shown).join(' ');
  if (v.count !== undefined && Array.isArray(v.first)) return `${grouped(v.count)} values`;
  return Object.entries(v).map(([key, x]) => `${key} ${brief(x)}`).join(', ');
}

// A list of maps as a table; what stands in place of decibels says why.
function keyedTable(metric, rows) {
  const places = metric.keys.map((_, i) => i).filter((i) => rows.some((row) => row[i] !== null && row[i] !== undefined));
  const isText = (i) => rows.every((row) => row[i] === null || row[i] === undefined || typeof row[i] === 'string');
  const note = metric.keys.indexOf('note');
  const cell = (row, i) => {
    if (metric.keys[i].startsWith('bits') && typeof row[i] === 'number') return row[i].toFixed(3);
    if (!metric.keys[i].endsWith('_db')) return brief(row[i] === undefined ? null : row[i]);
    return typeof row[i] === 'number' ? decibels(row[i]) : metric.keys[i] === 'sqnr_db' ? noted(row[note]) : '–';
  };
  return sortable(el('table', { class: 'sortable' },
    el('thead', {}, el('tr', {}, places.map((i) => el('th', { scope: 'col', class: isText(i) ? 'l' : null }, metric.keys[i].replace(/_/g, ' '))))),
    el('tbody', {}, rows.map((row) => el('tr', {}, places.map((i, k) => (k === 0 ? el('th', { scope: 'row', class: isText(i) ? 'name' : null }, cell(row, i)) : el('td', { class: isText(i) ? 'l' : null }, cell(row, i)))))))));
}

// A list of maps with more entries than a column of numbers has room for.
const isWide = (metric, value) => metric.keys !== null && metric.keys.length > WIDE && Array.isArray(value) && value.length > 0;
const WIDE = 5;

// Wide lists of an analyzer, beside its figures.
function wideTables(w, analyzer) {
  const members = [...(metrics.get(analyzer)?.values() || [])].filter((metric) => isWide(metric, metric.value(w)));
  return members.map((metric) => el('div', { class: 'figure spread' }, el('h3', {}, `${analyzer} ${metric.key.replace(/_/g, ' ')}`),
    el('div', { class: 'grid', tabindex: '0', role: 'region', 'aria-label': `${analyzer} ${metric.key}` }, keyedTable(metric, metric.value(w)))));
}

// Values that are more than one number.
function longValue(metric, value) {
  if (metric.keys && metric.keys.length > 2) return keyedTable(metric, value);
  if (metric.keys) return el('ul', {}, value.map((row) => el('li', {}, el('span', {}, row.slice(0, -1).map(brief).join(' ')), el('span', {}, brief(row[row.length - 1])))));
  if (Array.isArray(value)) return value.map(brief).join(', ') || 'none';
  if (value.count !== undefined && Array.isArray(value.first)) {
    return `${grouped(value.count)}${value.first.length ? `: ${value.first.map(brief).join(', ')}${value.count > value.first.length ? ', …' : ''}` : ''}`;
  }
  return el('ul', {}, Object.entries(value).map(([key, v]) => el('li', {}, el('span', {}, key), el('span', {}, brief(v)))));
}

function metricRow(w, metric, family) {
  const value = metric.value(w);
  const reason = whyNot.get(w)?.get(`${metric.analyzer}.${metric.key}`);
  if (value === null && !reason || isWide(metric, value)) return null;
  const definition = definitionOf(metric.analyzer, metric.key);
  const name = metric.key.replace(/_/g, ' ');
  const unit = definition && definition.unit;
  const term = definition ? hinted(el('button', { type: 'button' }, name), definition.doc) : name;
  if (value === null) return el('div', {}, el('dt', {}, term), el('dd', { class: 'why' }, reason));
  if (Array.isArray(value) && value.length === 0) return el('div', {}, el('dt', {}, term), el('dd', {}, 'none'));
  if (typeof value === 'string' && value.length > 24) return el('div', {}, el('dt', {}, term), el('dd', { class: 'long name' }, value));
  if (typeof value === 'object' && !(value.count === 0)) {
    return el('div', {}, el('dt', {}, term), el('dd', {}, metric.keys && metric.keys.length < 3 ? metric.keys.join(', ') : ''), el('dd', { class: 'long' }, longValue(metric, value)));
  }
  const word = typeof value === 'object' ? '0' : shown(value);
  return el('div', {}, el('dt', {}, term), el('dd', { title: unit || null }, word), el('dd', {}, spark(w, metric, family)));
}

function metricSections(w) {
  const family = siblingsOf(w);
  const sample = family.length > 300 ? family.filter((other) => other === w || weights.expert[other] === weights.expert[w]) : family;
  return [...metrics].map(([analyzer, members]) => {
    const rows = [...members.values()].map((metric) => metricRow(w, metric, sample)).filter(Boolean);
    if (!rows.length) return null;
    const summary = definitions.get(analyzer)?.summary;
    return el('section', {}, el('h3', {}, analyzer, summary && el('span', {}, summary)), el('dl', {}, rows));
  }).filter(Boolean);
}

function figuresSection(w) {
  const own = figuresOf.get(w) || [];
  const tables = [...metrics.keys()].map((analyzer) => [analyzer, wideTables(w, analyzer)]);
  // A table stands before the figures of its analyzer.
  const cards = own.map((figure) => plotted(figure));
  for (const [analyzer, members] of tables) {
    const first = own.findIndex((figure) => figure.analyzer === analyzer);
    const place = first < 0 ? cards.length : cards.findIndex((card) => card.dataset.figure === own[first].id);
    cards.splice(place, 0, ...members);
  }
  const hint = `${data.command} plot ${quoted(data.path)} --weight ${quoted(nameOf(w))} --figure spectrum -o fig.html`;
  const more = own.length ? null : el('p', { class: 'quiet' }, 'A report draws the weights with findings and one of each role. This one is drawn by', el('code', { class: 'command' }, hint));
  return el('section', {}, el('h2', {}, 'Figures'), el('div', { class: 'figures' }, cards), more);
}

// Fills the page and answers its heading.
function showWeight(page, w) {
  unplot(page);
  const heading = el('h1', { tabindex: '-1' }, nameOf(w));
  const found = findingsList(findingsOf.get(w) || [], false);
  const stated = findingsList(factsOf.get(w) || [], true);
  const lost = unmeasured.get(w);
  const numbers = metricSections(w);
  page.replaceChildren(...[
    el('div', { class: 'crumbs' }, el('a', { href: '#weights' }, '← All weights'), el('span', { class: 'quiet' }, `${w + 1} of ${grouped(count)}`), pager(w)),
    heading,
    facts(w),
    ...(lost ? [el('p', { class: 'status' }, el('strong', {}, lost.word), ` ${lost.reason}`)] : []),
    el('section', {}, el('h2', {}, 'Findings'), found.length ? found : el('p', { class: 'quiet' }, lost ? 'Not looked into.' : 'None.')),
    ...(stated.length ? [el('section', {}, el('h2', {}, 'Facts'), el('p', { class: 'lead' }, 'True, and nothing to act on, or a consequence of what was found.'), stated)] : []),
    (figuresOf.get(w) || []).length > 0 && figuresSection(w),
    ...(numbers.length ? [el('section', {}, el('h2', {}, 'Measurements'), el('p', { class: 'lead' }, 'The curve beside a number is the same metric over the blocks of the model, the dot this weight. Names explain themselves.'), el('div', { class: 'metrics' }, numbers))] : []),
    (figuresOf.get(w) || []).length === 0 && figuresSection(w),
  ].filter(Boolean));
  return heading;
}

