// A page of figures alone.

const data = JSON.parse(byId('data').textContent);
revealScripted();
startTheme();
byId('figures').append(...data.figures.map((figure) => plotted(figure, figure.of)));
if (data.figures.length === 1) byId('figures').style.gridTemplateColumns = 'minmax(0, 1fr)';
