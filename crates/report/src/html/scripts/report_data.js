// The data block, and questions to it. Weights are numbers from 0 on, in model order.

const data = JSON.parse(byId('data').textContent);
const weights = data.weights;
const count = weights.name.length;

const nameOf = (w) => weights.name[w];
const textOf = (list, w) => list.names[list.of[w]];
const roleOf = (w) => textOf(weights.role, w).replace(/_/g, ' ');
const dtypeOf = (w) => textOf(weights.dtype, w);

// Texts of lists of maps come as places in a list of texts.
function spellOut(column) {
  const texts = column.t.map((names, i) => [i, names]).filter((t) => t[1]);
  for (const rows of column.v || [column.all[0]]) {
    for (const row of rows || []) {
      for (const [i, names] of texts) if (typeof row[i] === 'number') row[i] = names[row[i]];
    }
  }
}

// Metrics by analyzer and key, in report order. A metric is a function from a weight to its value or null.
const metrics = new Map();
for (const column of data.metrics) {
  let value;
  if (column.t) spellOut(column);
  if (column.v) {
    value = (w) => column.v[w];
  } else {
    const [same, lacking] = column.all;
    const without = new Set(lacking);
    value = (w) => (without.has(w) ? null : same);
  }
  if (!metrics.has(column.a)) metrics.set(column.a, new Map());
  metrics.get(column.a).set(column.m, { analyzer: column.a, key: column.m, value, keys: column.k || null });
}

const metricOf = (analyzer, key) => metrics.get(analyzer)?.get(key) || null;

function numberOf(analyzer, key) {
  const metric = metricOf(analyzer, key);
  return (w) => {
    const value = metric ? metric.value(w) : null;
    return typeof value === 'number' ? value : null;
  };
}

// Decibels of a scheme as a function of a weight, or null; and what a cell says of them.
function schemeOf(analyzer, key, scheme) {
  const metric = metricOf(analyzer, key);
  const [name, db, note] = ['scheme', 'sqnr_db', 'note'].map((k) => ((metric && metric.keys) || []).indexOf(k));
  const row = (w) => {
    const rows = metric && metric.keys ? metric.value(w) : null;
    return Array.isArray(rows) ? rows.find((r) => r[name] === scheme) : undefined;
  };
  const value = (w) => {
    const found = row(w);
    return found && typeof found[db] === 'number' ? found[db] : null;
  };
  const word = (w) => {
    const found = row(w);
    if (!found) return '–';
    return typeof found[db] === 'number' ? decibels(found[db]) : noted(found[note]);
  };
  return { value, word };
}

const definitions = new Map(data.analyzers.map((a) => [a.id, { summary: a.summary, metrics: new Map(a.metrics.map((m) => [m[0], { unit: m[1], doc: m[2] }])) }]));
const definitionOf = (analyzer, key) => definitions.get(analyzer)?.metrics.get(key) || null;

// Why a metric of a weight does not exist, by `analyzer.metric`.
const whyNot = new Map();
for (const [metric, reason, lacking] of data.undefined) {
  for (const w of lacking) {
    if (!whyNot.has(w)) whyNot.set(w, new Map());
    whyNot.get(w).set(metric, reason);
  }
}

// How weights are stored that are no plain elements.
const formOf = new Map(weights.stored || []);

const unmeasured = new Map(weights.unmeasured.map(([w, word, reason]) => [w, { word, reason }]));

const RANKS = { info: 1, warning: 2, critical: 3 };
const WORDS = ['none', 'info', 'warning', 'critical'];
const findingsOf = new Map();
const rankOf = new Uint8Array(count);
for (const finding of data.findings) {
  if (finding.w === null) continue;
  if (!findingsOf.has(finding.w)) findingsOf.set(finding.w, []);
  findingsOf.get(finding.w).push(finding);
  rankOf[finding.w] = Math.max(rankOf[finding.w], RANKS[finding.severity]);
}

const factsOf = new Map();
for (const fact of data.facts) {
  if (!factsOf.has(fact.w)) factsOf.set(fact.w, []);
  factsOf.get(fact.w).push(fact);
}

const figuresOf = new Map();
for (const figure of data.figures) {
  const of = figure.w === undefined ? null : figure.w;
  if (!figuresOf.has(of)) figuresOf.set(of, []);
  figuresOf.get(of).push(figure);
}

// Weights that are the same at other depths: role, part, tower and the name without its numbers in common.
const siblings = new Map();
const withoutNumbers = (name) => name.split(/[.#]/).map((word) => (/^\d+$/.test(word) ? '*' : word)).join('.');
const groupOf = (w) => `${weights.role.of[w]} ${weights.part.of[w]} ${weights.stack.of[w]} ${withoutNumbers(nameOf(w))}`;
for (let w = 0; w < count; w++) {
  if (weights.block[w] === null) continue;
  const group = groupOf(w);
  if (!siblings.has(group)) siblings.set(group, []);
  siblings.get(group).push(w);
}
const siblingsOf = (w) => (weights.block[w] === null ? [] : siblings.get(groupOf(w)));

// What a group is called: `mlp up`, `encoder attention q bias`, `mlp up experts`.
function groupName(w) {
  const part = textOf(weights.part, w);
  const tower = weights.stack.names.length > 1 ? `${textOf(weights.stack, w)} ` : '';
  return `${tower}${roleOf(w)}${part === 'weight' ? '' : ` ${part}`}${weights.expert[w] === null ? '' : ' experts'}`;
}

// For a POSIX shell.
const quoted = (text) => (/^[A-Za-z0-9_./:@%+=,-]+$/.test(text) ? text : `'${text.replace(/'/g, "'\\''")}'`);

const pageOf = (w) => `#/weight/${w}`;

