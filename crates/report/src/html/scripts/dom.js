// Elements are made here and nowhere else. Texts become text nodes: a tensor's name is never read as markup.

const SVG = 'http://www.w3.org/2000/svg';

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// el('a', { href: '#x', class: 'name', onclick: f }, 'text', other)
function el(name, attributes, ...children) {
  return filled(document.createElement(name), attributes, children);
}

function svg(name, attributes, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

const byId = (id) => document.getElementById(id);

// Tells a screen reader.
function say(text) {
  byId('says').textContent = text;
}

function revealScripted() {
  for (const element of document.querySelectorAll('[data-scripted]')) element.hidden = element.tagName === 'SECTION';
}

// One tooltip for all: shown while its anchor is hovered or has the focus, gone with Escape.
function hinted(anchor, text) {
  const hint = byId('hint');
  const show = () => {
    hint.textContent = text;
    hint.hidden = false;
    anchor.setAttribute('aria-describedby', 'hint');
    const place = anchor.getBoundingClientRect();
    const below = place.bottom + 8 + hint.offsetHeight < innerHeight;
    hint.style.left = `${Math.max(8, Math.min(place.left, innerWidth - hint.offsetWidth - 8))}px`;
    hint.style.top = `${below ? place.bottom + 6 : Math.max(8, place.top - hint.offsetHeight - 6)}px`;
  };
  const hide = () => {
    hint.hidden = true;
    anchor.removeAttribute('aria-describedby');
  };
  for (const event of ['mouseenter', 'focus']) anchor.addEventListener(event, show);
  for (const event of ['mouseleave', 'blur']) anchor.addEventListener(event, hide);
  anchor.addEventListener('keydown', (event) => { if (event.key === 'Escape') hide(); });
  return anchor;
}

