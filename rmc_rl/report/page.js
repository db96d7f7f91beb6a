// Reads a curve under the pointer: the nearest point of each line, told beside the pointer. Text goes in as text.
"use strict";
for (const chart of document.querySelectorAll(".chart")) {
  const { left, right, top, bottom, lines } = JSON.parse(chart.dataset.readings);
  const svg = chart.querySelector("svg");
  const cursor = chart.querySelector(".cursor");
  const reading = chart.querySelector(".reading");
  const marks = lines.map((line) => {
    const mark = document.createElementNS(svg.namespaceURI, "circle");
    mark.setAttribute("class", "mark " + line.pen);
    svg.append(mark);
    return mark;
  });
  const nearest = (places, x) => {
    let low = 0;
    let high = places.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (places[middle] < x) low = middle;
      else high = middle;
    }
    return x - places[low] < places[high] - x ? low : high;
  };
  const element = (name, kind, text) => {
    const made = document.createElement(name);
    made.className = kind;
    made.textContent = text;
    return made;
  };
  const row = (one) => {
    const line = element("p", one.pen, "");
    line.append(element("i", "", ""), element("span", "", one.label), element("b", "", one.words));
    return line;
  };
  const hide = () => {
    reading.hidden = true;
    cursor.setAttribute("d", "");
    for (const mark of marks) mark.setAttribute("r", 0);
  };
  const show = (event) => {
    const box = svg.getBoundingClientRect();
    const scale = svg.viewBox.baseVal.width / box.width;
    const x = Math.min(Math.max((event.clientX - box.left) * scale, left), right);
    const found = [];
    lines.forEach((line, i) => {
      const at = line.x.length ? nearest(line.x, x) : -1;
      // A line that ended long before the pointer has nothing to say there.
      const near = at >= 0 && Math.abs(line.x[at] - x) <= Math.max(12, (line.x[1] || 0) - (line.x[0] || 0));
      marks[i].setAttribute("r", near ? 4 : 0);
      if (!near) return;
      marks[i].setAttribute("cx", line.x[at]);
      marks[i].setAttribute("cy", line.y[at]);
      const { label, pen } = line;
      found.push({ label, pen, x: line.x[at], y: line.y[at], at: line.at[at], words: line.words[at] });
    });
    if (!found.length) {
      hide();
      return;
    }
    found.sort((a, b) => a.y - b.y);
    const closest = found.reduce((a, b) => (Math.abs(b.x - x) < Math.abs(a.x - x) ? b : a));
    cursor.setAttribute("d", "M" + closest.x + "," + top + "V" + bottom);
    reading.replaceChildren(element("p", "at", closest.at), ...found.map(row));
    reading.hidden = false;
    const across = closest.x / scale;
    const width = reading.offsetWidth;
    const beside = across + 14 + width > box.width ? across - 14 - width : across + 14;
    reading.style.left = Math.max(0, Math.min(beside, box.width - width)) + "px";
  };
  hide();
  chart.addEventListener("pointermove", show);
  chart.addEventListener("pointerdown", show);
  chart.addEventListener("pointerleave", hide);
}
