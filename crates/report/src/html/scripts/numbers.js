// Numbers as people read them; the same rules as in the terminal.

const grouped = (n) => String(Math.round(n)).replace(/\B(?=(\d{3})+(?!\d))/g, ',');

// Four significant digits; what is just below one gets as many more as tell it from one.
function significant(x) {
  if (x === 0) return '0';
  const size = Math.abs(x);
  if (size >= 0.9995 && size < 1) {
    for (let digits = 4; digits < 17; digits++) {
      if (!size.toFixed(digits).startsWith('1')) return x.toFixed(digits);
    }
  }
  const scientific = x.toExponential(3);
  const exponent = Number(scientific.split('e')[1]);
  if (exponent >= -4 && exponent < 3) return x.toFixed(3 - exponent);
  if (exponent >= 3 && exponent < 6) return (x < 0 ? '-' : '') + grouped(size);
  return scientific.replace('e+', 'e');
}

// A share in percent. What is not nothing is never written as nothing, what is not all never as all.
function percent(x) {
  const p = 100 * x;
  if (p === 0) return '0';
  if (p === 100) return '100 %';
  if (p > 0 && p < 0.01) return '<0.01 %';
  if (p > 99.99 && p < 100) return '>99.99 %';
  return `${p.toFixed(p >= 9.995 && p <= 99.9 ? 1 : 2)} %`;
}

// A ratio on a logarithm, without its unit; and what stands in its place.
const decibels = (x) => (Math.round(10 * x) / 10 + 0).toFixed(1);
const noted = (note) => (note === 'lossless' ? 'exact' : note ? 'overflow' : '–');

// Any value of the data block in words.
function shown(value) {
  if (value === null || value === undefined) return '–';
  if (typeof value === 'number') return Number.isInteger(value) && Math.abs(value) < 1e15 ? (value < 0 ? '-' : '') + grouped(Math.abs(value)) : significant(value);
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return String(value);
}

function median(values) {
  const sorted = values.filter((v) => typeof v === 'number').sort((a, b) => a - b);
  return sorted.length ? sorted[sorted.length >> 1] : null;
}

