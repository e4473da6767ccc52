// Figures as data become what plotly draws. Every kind of figure is a function here; an unknown kind says so.

// Plotly reads <b>, <a href> and the like in its texts: names reach it with their markup escaped.
const plain = (text) => String(text).replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');

// The middle of a long name is the least telling part.
function short(name, limit = 28) {
  const text = String(name);
  return plain(text.length > limit ? `${text.slice(0, limit / 2 - 1)}…${text.slice(1 - limit / 2)}` : text);
}

const SYMBOLS = ['circle', 'square', 'diamond', 'triangle-up', 'cross', 'triangle-down', 'x', 'pentagon'];
const DASHES = ['solid', 'dash', 'dot', 'dashdot', 'longdash', 'longdashdot'];
const seriesColour = (i) => palette.series[i % palette.series.length];
const faint = (css, share) => css.replace(/^rgb\(([^)]+)\)$/, `rgba($1, ${share})`);

function axis(title, log, more) {
  return {
    title: { text: plain(title || ''), standoff: 8, font: { size: 12, color: palette.quiet } },
    type: log ? 'log' : 'linear', gridcolor: palette.line, zerolinecolor: palette.edge, linecolor: palette.edge,
    tickfont: { size: 11, color: palette.quiet }, automargin: true, exponentformat: 'power', minexponent: 4,
    ...(log ? { tickformat: '~g', nticks: 6 } : {}), ...more,
  };
}

// An axis with a name at each whole number from 0 on; of many names every n-th is written.
function named(title, names, more) {
  const step = Math.max(1, Math.ceil(names.length / 32));
  const places = names.map((_, i) => i).filter((i) => i % step === 0);
  return axis(title, false, {
    tickmode: 'array', tickvals: places, ticktext: places.map((i) => short(names[i], 22)),
    range: [-0.6, names.length - 0.4], zeroline: false, ...more,
  });
}

function layout(x, y, more) {
  return {
    xaxis: x, yaxis: y, height: 330, margin: { l: 56, r: 14, t: 26, b: 44 }, hovermode: 'closest',
    paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)', colorway: palette.series,
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: palette.ink },
    hoverlabel: { bgcolor: palette.panel, bordercolor: palette.edge, font: { size: 12, color: palette.ink }, align: 'left', namelength: -1 },
    legend: { orientation: 'h', x: 0, y: -0.24, yanchor: 'top', font: { size: 11, color: palette.soft } },
    modebar: { bgcolor: 'rgba(0,0,0,0)', color: palette.quiet, activecolor: palette.ink },
    dragmode: 'zoom', ...more,
  };
}

// Legends grow with their entries, and the figure with them.
const roomy = (count) => (count > 4 ? { height: 330 + 18 * Math.ceil((count - 4) / 3) } : {});

function curves(figure, isPoints) {
  const { series } = figure.data;
  const isTrend = figure.id.startsWith('trend.');
  const traces = [];
  series.forEach((curve, i) => {
    const css = seriesColour(i);
    const band = figure.bands && figure.bands[i];
    if (band) {
      traces.push({
        type: 'scatter', mode: 'none', x: [...curve.x, ...curve.x.slice().reverse()], y: [...band[1], ...band[0].slice().reverse()],
        fill: 'toself', fillcolor: faint(css, 0.16), hoverinfo: 'skip', showlegend: false, legendgroup: `${i}`,
      });
    }
    traces.push({
      type: 'scatter', name: short(curve.name, 40), legendgroup: `${i}`, x: curve.x, y: curve.y,
      mode: isPoints ? 'markers' : isTrend || curve.x.length < 3 ? 'lines+markers' : 'lines',
      line: { color: css, width: 1.8, dash: isTrend ? (i < 8 ? 'solid' : 'dot') : DASHES[i % DASHES.length] },
      marker: { color: css, size: isPoints ? 6 : 5, symbol: SYMBOLS[i % SYMBOLS.length], opacity: isPoints ? 0.8 : 1 },
      hovertemplate: `${plain(figure.axes.x)} %{x:.6~g}<br>${plain(figure.axes.y)} %{y:.5~g}<extra>${short(curve.name, 40)}</extra>`,
    });
  });
  const { x, y, log_x: logX, log_y: logY } = figure.axes;
  return { traces, layout: layout(axis(x, logX), axis(y, logY), { showlegend: series.length > 1, ...roomy(series.length) }) };
}

function histogram(figure) {
  const { low, width, counts, below, above, normal, statistics } = figure.data;
  const css = seriesColour(0);
  const centres = counts.map((_, i) => low + width * (i + 0.5));
  const edge = (i) => significant(low + width * i);
  const traces = [{
    type: 'bar', name: 'values', x: centres, y: counts, width, marker: { color: faint(css, 0.75), line: { width: 0 } },
    customdata: counts.map((_, i) => `${edge(i)} to ${edge(i + 1)}`), hovertemplate: '%{customdata}<br>%{y:,}<extra></extra>',
  }];
  if (normal && normal[1] > 0) {
    const [mean, deviation] = normal;
    const total = counts.reduce((sum, n) => sum + n, 0) + below + above;
    const x = Array.from({ length: 161 }, (_, i) => low + (width * counts.length * i) / 160);
    const y = x.map((v) => (total * width * Math.exp(-0.5 * ((v - mean) / deviation) ** 2)) / (deviation * Math.sqrt(2 * Math.PI)));
    traces.push({ type: 'scatter', mode: 'lines', name: 'normal', x, y, line: { color: seriesColour(1), width: 1.8, dash: 'dash' }, hoverinfo: 'skip' });
  }
  const lines = statistics.map(([name, value]) => `${plain(name)}  ${significant(value)}`);
  if (below) lines.push(`below  ${grouped(below)}`);
  if (above) lines.push(`above  ${grouped(above)}`);
  const box = {
    xref: 'paper', yref: 'paper', x: 1, y: 1, xanchor: 'right', yanchor: 'top', showarrow: false, align: 'right', text: lines.join('<br>'),
    font: { size: 10.5, color: palette.soft }, bgcolor: faint(palette.panel, 0.82), bordercolor: palette.line, borderpad: 5,
  };
  return {
    traces,
    layout: layout(axis(figure.axes.x, false), axis(figure.axes.y, figure.axes.log_y), {
      bargap: 0, showlegend: traces.length > 1, annotations: lines.length ? [box] : [],
    }),
  };
}

// Base64 of one byte a cell: 0 to 254 from the scale's low end to its high end, 255 for nothing.
function cellValues(cells) {
  if (cells.values) return cells.values;
  const [low, high] = cells.scale;
  const bytes = atob(cells.levels);
  return Array.from(bytes, (byte) => {
    const level = byte.charCodeAt(0);
    return level === 255 ? null : low + ((high - low) * level) / 254;
  });
}

function heatAxis(title, ticks, count) {
  if (ticks.names) return named(title, ticks.names, { showgrid: false });
  const first = ticks.first - (ticks.step === 1 ? 0.5 : 0);
  return axis(title, false, { showgrid: false, zeroline: false, range: [first, first + ticks.step * count] });
}

const lineOf = (ticks, i) => {
  if (ticks.names) return ticks.names[i];
  const from = ticks.first + i * ticks.step;
  return ticks.step > 1 ? `${from}–${from + ticks.step - 1}` : `${from}`;
};

function heatmap(figure) {
  const map = figure.data;
  const [rows, columns] = map.size;
  const values = cellValues(map.cells);
  const z = Array.from({ length: rows }, (_, r) => values.slice(r * columns, (r + 1) * columns));
  let [low, high] = map.cells.scale || [Infinity, -Infinity];
  if (!map.cells.scale) {
    for (const value of values) if (value !== null) { low = Math.min(low, value); high = Math.max(high, value); }
  }
  // Cosines have one scale everywhere, so that pages and blocks compare; a head's with itself is 1, whatever the cells
  // were clipped to.
  if (figure.id.startsWith('attention.similarity')) {
    [low, high] = [-1, 1];
    z.forEach((row, r) => { if (typeof row[r] === 'number') row[r] = 1; });
  }
  const isSigned = low < 0 && high > 0;
  const reach = Math.max(-low, high);
  const place = (ticks, i) => (ticks.names ? i : ticks.first + (i + (ticks.step === 1 ? 0 : 0.5)) * ticks.step);
  const lines = (ticks, count) => Array.from({ length: count }, (_, i) => plain(lineOf(ticks, i)));
  const [down, across] = [lines(map.rows, rows), lines(map.columns, columns)];
  const trace = {
    type: 'heatmap', z, x: across.map((_, i) => place(map.columns, i)), y: down.map((_, i) => place(map.rows, i)),
    zmin: isSigned ? -reach : low, zmax: isSigned ? reach : high, zsmooth: false,
    colorscale: isSigned ? palette.diverging : palette.sequential,
    colorbar: { thickness: 9, outlinewidth: 0, len: 1, tickfont: { size: 10, color: palette.quiet }, exponentformat: 'power' },
    hovertemplate: '%{text}%{z:.5~g}<extra></extra>', hoverongaps: false,
    text: rows * columns <= 70000 ? down.map((r) => across.map((c) => `${r}, ${c}<br>`)) : undefined,
  };
  if (!trace.text) trace.hovertemplate = '%{y}, %{x}<br>%{z:.5~g}<extra></extra>';
  const span = (ticks, count) => count * (ticks.names ? 1 : ticks.step);
  const ratio = span(map.rows, rows) / span(map.columns, columns);
  const isAlike = ratio > 0.4 && ratio < 2.5;
  const y = heatAxis(figure.axes.y, map.rows, rows);
  y.range = y.range.slice().reverse();
  const x = heatAxis(figure.axes.x, map.columns, columns);
  if (isAlike) Object.assign(y, { scaleanchor: 'x', constrain: 'domain' }) && Object.assign(x, { constrain: 'domain' });
  const notes = [`${rows} × ${columns} cells`];
  if (map.pooling) notes.push(`each the ${map.pooling} of ${map.rows.step || 1} × ${map.columns.step || 1} entries`);
  if (map.cells.clipped) notes.push(`${grouped(map.cells.clipped)} beyond the scale`);
  return { traces: [trace], layout: layout(x, y, { height: isAlike ? 400 : 340 }), note: notes.join(', ') };
}

function bar(figure) {
  const { labels, values } = figure.data;
  // Depth goes from left to right, as everywhere.
  const isLong = figure.id !== 'model.layer_sizes' && labels.length <= 24 && labels.some((label) => label.length > 9);
  const places = labels.map((_, i) => i);
  const common = {
    type: 'bar', marker: { color: faint(seriesColour(0), 0.85) }, customdata: labels.map((label) => short(label, 60)),
    hovertemplate: `%{customdata}<br>%{${isLong ? 'x' : 'y'}:,.6~g}<extra></extra>`,
  };
  if (isLong) {
    return {
      traces: [{ ...common, orientation: 'h', x: values, y: places }],
      layout: layout(axis(figure.axes.y, figure.axes.log_y), named('', labels, { autorange: 'reversed', range: undefined, showgrid: false }), {
        height: Math.max(190, 90 + 24 * labels.length), bargap: 0.35,
      }),
    };
  }
  return {
    traces: [{ ...common, x: places, y: values }],
    layout: layout(named(figure.axes.x, labels, { showgrid: false }), axis(figure.axes.y, figure.axes.log_y), { bargap: 0.25 }),
  };
}

function boxes(figure) {
  const all = figure.data.boxes;
  const at = (i) => all.map((box) => box.five[i]);
  const css = seriesColour(0);
  const trace = {
    type: 'box', x: all.map((_, i) => i), lowerfence: at(0), q1: at(1), median: at(2), q3: at(3), upperfence: at(4),
    fillcolor: faint(css, 0.3), line: { color: css, width: 1.3 }, hoverinfo: 'y', boxpoints: false,
  };
  return {
    traces: [trace],
    layout: layout(named(figure.axes.x, all.map((box) => box.name), { showgrid: false }), axis(figure.axes.y, figure.axes.log_y), { showlegend: false }),
  };
}

// Densities as mirrored curves side by side: x of a series is the value, y its share.
function violins(figure) {
  const { series } = figure.data;
  const most = Math.max(...series.map((s) => Math.max(...s.y.map((y) => y || 0))), Number.MIN_VALUE);
  const traces = series.map((s, i) => {
    const half = s.y.map((y) => (0.44 * (y || 0)) / most);
    const css = seriesColour(0);
    return {
      type: 'scatter', mode: 'lines', name: short(s.name, 40), fill: 'toself', fillcolor: faint(css, 0.35), line: { color: css, width: 1.2 },
      x: [...half.map((h) => i - h), ...half.map((h) => i + h).reverse(), i - half[0]], y: [...s.x, ...s.x.slice().reverse(), s.x[0]],
      hovertemplate: `%{y:.5~g}<extra>${short(s.name, 40)}</extra>`,
    };
  });
  const names = series.map((s) => s.name);
  return { traces, layout: layout(named(figure.axes.x, names, { showgrid: false }), axis(figure.axes.y, figure.axes.log_y), { showlegend: false }) };
}

// A tree from scipy's linkage: each merge is a bracket over the two it joins, at its height.
function dendrogram(figure) {
  const { labels, merges } = figure.data;
  const n = labels.length;
  const order = [];
  const stack = merges.length ? [n + merges.length - 1] : labels.map((_, i) => n - 1 - i);
  while (stack.length) {
    const node = stack.pop();
    if (node < n) order.push(node);
    else if (merges[node - n]) stack.push(merges[node - n][1], merges[node - n][0]);
  }
  const places = new Map(order.map((leaf, i) => [leaf, [i, 0]]));
  const [x, y] = [[], []];
  merges.forEach(([a, b, height], i) => {
    const [left, right] = [places.get(a) || [0, 0], places.get(b) || [0, 0]];
    x.push(left[0], left[0], right[0], right[0], null);
    y.push(left[1], height, height, right[1], null);
    places.set(n + i, [(left[0] + right[0]) / 2, height]);
  });
  const names = order.map((leaf) => labels[leaf]);
  return {
    traces: [{ type: 'scatter', mode: 'lines', x, y, line: { color: seriesColour(0), width: 1.4 }, hovertemplate: '%{y:.5~g}<extra></extra>' }],
    layout: layout(named(figure.axes.x, names, { showgrid: false }), axis(figure.axes.y, figure.axes.log_y, { rangemode: 'tozero' }), { showlegend: false }),
  };
}

const KINDS = {
  line: (figure) => curves(figure, false), scatter: (figure) => curves(figure, true),
  histogram, heatmap, bar, box: boxes, violin: violins, dendrogram,
};

// For grids of many figures of one kind: what they have in common is left out.
function shrink(drawn, kind) {
  Object.assign(drawn.layout, { height: 240, showlegend: false, margin: { l: 30, r: 6, t: 22, b: 26 } });
  drawn.note = '';
  for (const side of [drawn.layout.xaxis, drawn.layout.yaxis]) Object.assign(side, { title: { text: '' }, tickfont: { size: 9, color: palette.quiet } });
  if (kind === 'heatmap') drawn.traces[0].showscale = false;
}

// { traces, layout, note } of a figure.
function drawing(figure) {
  if (figure.draw) return figure.draw();
  const kind = Object.hasOwn(KINDS, figure.kind) ? KINDS[figure.kind] : null;
  const drawn = kind ? kind(figure) : { traces: [], layout: layout(axis(''), axis('')), note: 'this page cannot draw it' };
  if (figure.isSmall) shrink(drawn, figure.kind);
  if (figure.points) drawn.note = `thinned from ${grouped(figure.points)} points; the JSON report has all`;
  return drawn;
}

