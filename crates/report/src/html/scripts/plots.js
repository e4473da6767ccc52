// Figures in the page: drawn when they come into sight, drawn anew when colours change, saved on request.

const plots = new Map();

const SAVE = { width: 24, height: 24, path: 'M12 3v10.2l3.6-3.6L17 11l-5 5-5-5 1.4-1.4 3.6 3.6V3zM4 18h16v2H4z' };
const LOG = { width: 24, height: 24, path: 'M4 4h2v14h14v2H4zM8 16c1-7 4-10 11-11v2c-6 1-8.200 3.500-9 9z' };

// On a sheet of its own a figure needs its title and its ground.
function save(plot, format) {
  const { layout: own, traces } = drawing(plot.figure);
  const title = { text: short(plot.title, 110), font: { size: 14 }, x: 0, xref: 'paper', xanchor: 'left', y: 1, yref: 'container', yanchor: 'top', pad: { t: 12 } };
  const sheet = { ...own, title, paper_bgcolor: palette.panel, margin: { ...own.margin, t: 52 }, width: 900, height: 560 };
  const filename = plot.title.replace(/[^A-Za-z0-9._-]+/g, '-').replace(/^[-.]+/, '').slice(0, 100) || 'figure';
  return Plotly.downloadImage({ data: traces, layout: sheet, config: { staticPlot: true } }, { format, filename, width: 900, height: 560, scale: format === 'png' ? 2 : 1 });
}

function config(plot) {
  const button = (name, icon, click) => ({ name, title: name, icon, click });
  const toggle = (gd) => Plotly.relayout(gd, { 'yaxis.type': gd.layout.yaxis.type === 'log' ? 'linear' : 'log', 'yaxis.autorange': true });
  const scale = ['heatmap', 'dendrogram'].includes(plot.figure.kind) ? [] : [[button('Logarithmic y', LOG, toggle)]];
  return {
    displaylogo: false, responsive: true, showTips: false, scrollZoom: false, locale: 'en-US',
    modeBarButtons: [
      [button('Save as SVG', SAVE, () => save(plot, 'svg')), button('Save as PNG', SAVE, () => save(plot, 'png'))],
      ...scale, ['zoom2d', 'pan2d', 'zoomIn2d', 'zoomOut2d', 'resetScale2d'],
    ],
  };
}

function paint(plot) {
  const drawn = drawing(plot.figure);
  plot.note.textContent = drawn.note || plot.figure.note || '';
  plot.area.style.height = `${drawn.layout.height}px`;
  const done = plot.painted
    ? Plotly.react(plot.area, drawn.traces, drawn.layout, config(plot))
    : Plotly.newPlot(plot.area, drawn.traces, drawn.layout, config(plot));
  if (!plot.painted && plot.figure.click) {
    done.then(() => plot.area.on('plotly_click', (event) => plot.figure.click(event.points[0])));
  }
  plot.painted = true;
  return done;
}

const sight = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const plot = plots.get(entry.target);
    if (plot && entry.isIntersecting) {
      sight.unobserve(entry.target);
      plot.seen = true;
      paint(plot);
    }
  }
}, { rootMargin: '400px' });

// Draws what nobody has seen yet, for a page that is printed.
function paintAll() {
  for (const plot of plots.values()) if (!plot.painted && plot.area.offsetWidth > 0) paint(plot);
}

// A figure's element. `of` says whose it is when the surroundings do not.
function plotted(figure, of) {
  const area = el('div', { class: 'plot' });
  const note = el('p', { class: 'note' });
  const title = of ? `${figure.title}, ${of}` : figure.title;
  area.style.height = `${expectedHeight(figure)}px`;
  const element = el('figure', { class: 'figure', 'aria-label': title }, el('figcaption', {}, el('h3', {}, figure.title), of && el('p', { class: 'of name quiet' }, of)), area, note);
  element.dataset.figure = figure.id;
  plots.set(area, { figure, area, note, title, painted: false, seen: false });
  sight.observe(area);
  return element;
}

// So that the page does not jump when figures come: what the drawing will have, as far as that is simple.
function expectedHeight(figure) {
  if (figure.isSmall) return 240;
  return figure.kind === 'heatmap' ? 400 : 330;
}

// Forgets the figures within an element that is about to go.
function unplot(element) {
  for (const area of element.querySelectorAll('.plot')) {
    const plot = plots.get(area);
    if (plot && plot.painted) Plotly.purge(area);
    sight.unobserve(area);
    plots.delete(area);
  }
}

themeListeners.push(() => {
  for (const plot of plots.values()) if (plot.painted) paint(plot);
});

