// Light and dark. The style sheet has both; figures ask here for its colours.

const probe = el('i', { hidden: true });

function colour(name) {
  probe.style.color = `var(--${name})`;
  return getComputedStyle(probe).color;
}

const isDark = () => {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
};

let palette = null;
const themeListeners = [];

function readPalette() {
  document.body.append(probe);
  const dark = isDark();
  palette = {
    dark,
    series: Array.from({ length: 8 }, (_, i) => colour(`c${i}`)),
    ink: colour('ink'), soft: colour('soft'), quiet: colour('quiet'), line: colour('line'), edge: colour('edge'),
    panel: colour('panel'), critical: colour('critical'), warning: colour('warning'), info: colour('info'),
    // Blue to orange through the background: readable for every kind of colour blindness.
    diverging: dark
      ? [[0, '#8cc4ff'], [0.25, '#3a78b8'], [0.5, '#171b23'], [0.75, '#b5622a'], [1, '#ffb27a']]
      : [[0, '#0b4a8a'], [0.25, '#6fa8d6'], [0.5, '#fbfaf7'], [0.75, '#e39a5c'], [1, '#8f3a05']],
    // Cividis, turned around on light ground so that little stays light.
    sequential: dark
      ? [[0, '#131c33'], [0.2, '#23406f'], [0.4, '#51647a'], [0.6, '#8a8a79'], [0.8, '#c4b35e'], [1, '#fee838']]
      : [[0, '#fbf6dc'], [0.2, '#d9cb85'], [0.4, '#a59c74'], [0.6, '#6c7279'], [0.8, '#35486e'], [1, '#00204c']],
  };
}

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  readPalette();
  for (const listener of themeListeners) listener();
}

function startTheme() {
  readPalette();
  byId('theme').addEventListener('click', () => {
    setTheme(isDark() ? 'light' : 'dark');
    say(`${isDark() ? 'Dark' : 'Light'} colours`);
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    if (!document.documentElement.dataset.theme) {
      readPalette();
      for (const listener of themeListeners) listener();
    }
  });
}

