// Figures that the page makes itself, from the metrics of all weights.

const MOST_POINTS = 1500;

const isMatrix = (w) => weights.matrix[w] !== null && Math.min(...weights.matrix[w]) > 1 && textOf(weights.part, w) === 'weight';

// Weights of blocks by group: a name and the members.
function groups() {
  return [...siblings.values()].filter((members) => isMatrix(members[0])).map((members) => ({ name: groupName(members[0]), members }));
}

// A metric over depth as points: where several weights stand at one depth, their median.
function overDepth(members, value) {
  const depths = new Map();
  for (const w of members) {
    const v = value(w);
    if (v === null) continue;
    const block = weights.block[w];
    if (!depths.has(block)) depths.set(block, []);
    depths.get(block).push([v, w]);
  }
  return [...depths].sort((a, b) => a[0] - b[0]).map(([block, all]) => {
    all.sort((a, b) => a[0] - b[0]);
    const [v, w] = all[all.length >> 1];
    return { x: block, y: v, w };
  });
}

const openWeight = (point) => {
  const w = point.data.weights && point.data.weights[point.pointNumber];
  if (w !== undefined) location.hash = pageOf(w);
};

function depthFigure(id, title, y, value, more) {
  const families = groups().map((group) => ({ ...group, points: overDepth(group.members, value), line: more.reference ? overDepth(group.members, more.reference) : [] })).filter((f) => f.points.length > 1);
  if (!families.length) return null;
  // A page of zeros tells nothing.
  if (more.isTellingOnly && families.every((family) => family.points.every((p) => p.y === 0))) return null;
  return {
    id, title, kind: 'own', note: more.note, click: openWeight,
    draw() {
      const traces = families.flatMap((family, i) => {
        const css = seriesColour(i);
        const own = {
          type: 'scatter', mode: 'lines+markers', name: short(family.name, 40), legendgroup: `${i}`, x: family.points.map((p) => p.x), y: family.points.map((p) => p.y),
          weights: family.points.map((p) => p.w), customdata: family.points.map((p) => short(nameOf(p.w), 60)),
          line: { color: css, width: 1.8 }, marker: { size: 5, symbol: SYMBOLS[i % SYMBOLS.length], color: css },
          hovertemplate: `%{customdata}<br>${plain(y)} %{y:.5~g}<extra></extra>`,
        };
        const line = { type: 'scatter', mode: 'lines', legendgroup: `${i}`, showlegend: false, x: family.line.map((p) => p.x), y: family.line.map((p) => p.y), line: { color: css, width: 1, dash: 'dot' }, hovertemplate: `random matrix %{y:.5~g}<extra></extra>` };
        return family.line.length ? [line, own] : [own];
      });
      return { traces, layout: layout(axis('block', false), axis(y, more.log, more.zero ? { rangemode: 'tozero' } : {}), { showlegend: true, ...roomy(families.length) }), note: more.note };
    },
  };
}

// One point a weight; of very many a sample, with those that have a warning or worse unless they are many too.
function pointFigure(id, title, x, y, more) {
  let all = [];
  for (let w = 0; w < count; w++) {
    const [a, b] = [more.x(w), more.y(w)];
    if (a !== null && b !== null && isMatrix(w) && (!more.log || (a > 0 && b > 0))) all.push({ w, a, b });
  }
  if (all.length < 2) return null;
  const total = all.length;
  const step = Math.ceil(total / MOST_POINTS);
  const isKept = all.filter((p) => rankOf[p.w] > 1).length <= MOST_POINTS ? (p) => rankOf[p.w] > 1 : () => false;
  all = all.filter((p, i) => i % step === 0 || isKept(p));
  // A logarithm has no place for zero: it stands left of the smallest power of ten that there is.
  const powers = more.logX ? all.filter((p) => p.a > 0).map((p) => Math.floor(Math.log10(p.a))) : [];
  const [first, last] = powers.length ? [Math.min(...powers), Math.max(...powers) + 1] : [-4, -1];
  const hasZero = all.some((p) => p.a === 0);
  const at = (p) => (more.logX && p.a === 0 ? 10 ** (first - 1) : p.a);
  const ticks = () => {
    const places = Array.from({ length: last - first + 1 }, (_, i) => first + i);
    const start = hasZero ? [first - 1] : [];
    return axis(x, true, {
      tickmode: 'array', tickvals: [...start, ...places].map((e) => 10 ** e), nticks: undefined, tickformat: undefined,
      ticktext: [...start.map(() => '0'), ...places.map((e) => (more.shareX ? `${Number((10 ** (e + 2)).toPrecision(1))} %` : shown(10 ** e)))],
      range: [(hasZero ? first - 1 : first) - 0.15, last + 0.05],
    });
  };
  const horizontal = () => (more.logX ? ticks() : axis(x, more.log));
  const note = [more.note, step > 1 && `${grouped(all.length)} of ${grouped(total)} weights are drawn.`].filter(Boolean).join(' ');
  return {
    id, title, kind: 'own', note, click: openWeight,
    draw() {
      const byGroup = new Map();
      for (const p of all) {
        const group = groupName(p.w);
        if (!byGroup.has(group)) byGroup.set(group, []);
        byGroup.get(group).push(p);
      }
      const traces = [...byGroup].map(([name, points], i) => ({
        type: 'scatter', mode: 'markers', name: short(name, 40), x: points.map(at), y: points.map((p) => p.b), weights: points.map((p) => p.w),
        customdata: points.map((p) => [short(nameOf(p.w), 60), more.shareX ? `${significant(100 * p.a)} %` : significant(p.a)]),
        marker: { color: seriesColour(i), symbol: SYMBOLS[i % SYMBOLS.length], size: points.map((p) => (rankOf[p.w] > 1 ? 10 : 6)), opacity: 0.8, line: { width: points.map((p) => (rankOf[p.w] > 1 ? 1.5 : 0)), color: palette.ink } },
        hovertemplate: `%{customdata[0]}<br>${plain(x)} %{customdata[1]}<br>${plain(y)} %{y:.4~g}<extra></extra>`,
      }));
      if (more.diagonal) {
        const most = Math.max(...all.map((p) => p.a));
        const least = Math.min(...all.map((p) => p.a));
        traces.unshift({ type: 'scatter', mode: 'lines', name: more.diagonal, x: [least, most], y: [least, most], line: { color: palette.quiet, width: 1, dash: 'dash' }, hoverinfo: 'skip' });
      }
      return { traces, layout: layout(horizontal(), axis(y, more.log), { showlegend: true, ...roomy(traces.length) }), note };
    },
  };
}

function dashboards() {
  const spectral = (key) => numberOf('spectral', key);
  return [
    depthFigure('own.condition_number', 'Condition number over depth', 'condition number', spectral('condition_number'), {
      log: true, reference: spectral('condition_number_null_median'), note: 'Dotted: the median of random matrices of the same shape.',
    }),
    pointFigure('own.ranks', 'Stable rank against numerical rank', 'numerical rank', 'stable rank', {
      x: spectral('numerical_rank'), y: spectral('stable_rank'), log: true, diagonal: 'all singular values equal',
      note: 'Far below the line, few directions carry the weight. Large marks have a warning or worse.',
    }),
    pointFigure('own.quantization', '8-bit accuracy against outliers', 'share of values beyond 3 interquartile ranges', 'SQNR of int8_channel (dB)', {
      x: numberOf('quantization', 'outliers_iqr_3'), y: schemeOf('quantization', 'schemes', 'int8_channel').value, log: false, logX: true, shareX: true,
      note: 'Signal to quantization noise of 8-bit integers with one scale a row: outliers stretch it for all values of the row. Large marks have a warning or worse.',
    }),
    depthFigure('own.prunable', 'What magnitude pruning can take', 'prunable share', numberOf('sparsity', 'prunable'), {
      log: false, zero: true, note: 'The share of smallest values that holds 1 % of the energy; a normal has 26 %.',
    }),
    depthFigure('own.zeros', 'Exact zeros over depth', 'share of zeros', numberOf('sparsity', 'zero_fraction'), { log: false, zero: true, isTellingOnly: true }),
  ].filter(Boolean);
}

