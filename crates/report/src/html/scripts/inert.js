// Plotly sets some styles as attributes, which the page's policy refuses. As properties they are allowed, so
// the policy needs no 'unsafe-inline'.
const setAttribute = Element.prototype.setAttribute;
Element.prototype.setAttribute = function (name, value) {
  if (name === 'style') this.style.cssText = value;
  else setAttribute.call(this, name, value);
};

