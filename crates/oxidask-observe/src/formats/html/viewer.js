"use strict";
(() => {
  const main = document.querySelector("main"), svg = main.querySelector("svg");
  const search = document.getElementById("search"), found = document.getElementById("found");
  const said = document.getElementById("said");
  const nodes = [...svg.children].filter((child) => child.tagName === "g");
  const keys = nodes.map((node) => node.querySelector("title")?.textContent ?? "");
  const texts = nodes.map((node) =>
    [...node.querySelectorAll("title, text")].map((text) => text.textContent).join("\n").toLowerCase());
  const whole = svg.viewBox.baseVal;
  const page = { x: whole.x, y: whole.y, width: whole.width, height: whole.height };
  const bar = document.querySelector("header");
  bar.hidden = false;
  document.body.classList.add("live");

  // ---- What is seen: a window in pixels of the drawing ----
  const view = { x: 0, y: 0, scale: 1 };
  let isWhole = true;
  const show = () => {
    const { clientWidth, clientHeight } = main;
    isWhole = false;
    svg.setAttribute("viewBox", `${view.x} ${view.y} ${clientWidth / view.scale} ${clientHeight / view.scale}`);
  };
  const fitting = () => Math.min(main.clientWidth / page.width, main.clientHeight / page.height);
  const centre = (x, y) => {
    view.x = x - main.clientWidth / view.scale / 2;
    view.y = y - main.clientHeight / view.scale / 2;
    show();
  };
  const fit = () => {
    view.scale = Math.min(fitting(), 1.5);
    centre(page.x + page.width / 2, page.y + page.height / 2);
    isWhole = true;
  };
  const zoom = (factor, x = main.clientWidth / 2, y = main.clientHeight / 2) => {
    const before = view.scale;
    view.scale = Math.min(Math.max(before * factor, Math.min(fitting(), 1) / 2), 8);
    view.x += x / before - x / view.scale;
    view.y += y / before - y / view.scale;
    show();
  };
  const pan = (dx, dy) => {
    view.x -= dx / view.scale;
    view.y -= dy / view.scale;
    show();
  };
  const place = (event) => {
    const box = main.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  svg.setAttribute("preserveAspectRatio", "xMidYMid meet");

  // ---- Pointers: one drags, two pinch, a click shows a lineage ----
  const pointers = new Map();
  let moved = 0;
  main.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), ...place(event));
  }, { passive: false });
  main.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    pointers.set(event.pointerId, place(event));
    if (pointers.size === 1) moved = 0;
  });
  main.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const [x, y] = place(event);
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const distance = (at) => Math.hypot(at[0] - other[0], at[1] - other[1]) || 1;
      zoom(distance([x, y]) / distance(before), (x + other[0]) / 2, (y + other[1]) / 2);
    } else {
      pan(x - before[0], y - before[1]);
    }
    moved += Math.hypot(x - before[0], y - before[1]);
    if (moved > 4 && !main.hasPointerCapture(event.pointerId)) {
      main.setPointerCapture(event.pointerId);
      main.classList.add("drag");
    }
    pointers.set(event.pointerId, [x, y]);
  });
  for (const end of ["pointerup", "pointercancel", "pointerleave"]) {
    main.addEventListener(end, (event) => {
      pointers.delete(event.pointerId);
      if (!pointers.size) main.classList.remove("drag");
    });
  }
  main.addEventListener("click", (event) => {
    if (moved > 4) return;
    const index = nodes.indexOf(event.target.closest("main > svg > g"));
    if (index < 0) clear();
    else lineage(index);
  });
  main.addEventListener("dblclick", fit);

  // ---- Lineage: what a task needs, and what needs it ----
  const arrows = JSON.parse(document.getElementById("arrows").textContent);
  const needs = nodes.map(() => []), uses = nodes.map(() => []);
  for (let k = 0; k < arrows.length; k += 2) {
    needs[arrows[k + 1]].push(arrows[k]);
    uses[arrows[k]].push(arrows[k + 1]);
  }
  const reach = (start, next) => {
    const seen = new Set([start]), open = [start];
    while (open.length) for (const other of next[open.pop()]) if (!seen.has(other)) {
      seen.add(other);
      open.push(other);
    }
    return seen;
  };
  const light = (lit, hits) => {
    svg.classList.toggle("dim", lit !== null);
    nodes.forEach((node, k) => {
      node.classList.toggle("lit", lit !== null && lit.has(k));
      node.classList.toggle("hit", hits.has(k));
      node.classList.remove("now");
    });
  };
  const lineage = (index) => {
    search.value = "";
    matches = [];
    found.textContent = "";
    const above = reach(index, needs), below = reach(index, uses);
    light(new Set([...above, ...below]), new Set([index]));
    said.textContent = `${keys[index]} — needs ${above.size - 1}, needed by ${below.size - 1}`;
  };
  const clear = () => {
    light(null, new Set());
    matches = [];
    search.value = found.textContent = said.textContent = "";
  };

  // ---- Search in labels and keys ----
  let matches = [], current = -1;
  const look = () => {
    const wanted = search.value.trim().toLowerCase();
    if (!wanted) return clear();
    matches = texts.flatMap((text, k) => (text.includes(wanted) ? [k] : []));
    current = -1;
    light(new Set(matches), new Set(matches));
    found.textContent = matches.length ? `${matches.length} found` : "none found";
    said.textContent = matches.length ? "Enter goes to the next one, Escape ends the search." : "";
  };
  const step = (by) => {
    if (!matches.length) return;
    nodes[matches[current]]?.classList.remove("now");
    current = (current + by + matches.length) % matches.length;
    const node = nodes[matches[current]], box = node.getBBox();
    node.classList.add("now");
    view.scale = Math.max(view.scale, 1);
    centre(box.x + box.width / 2, box.y + box.height / 2);
    found.textContent = `${current + 1} of ${matches.length}`;
    said.textContent = keys[matches[current]];
  };
  search.addEventListener("input", look);
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter") step(event.shiftKey ? -1 : 1);
    else if (event.key === "Escape") { clear(); search.blur(); }
    else return;
    event.preventDefault();
  });

  // ---- Keys and buttons ----
  const actions = {
    "/": () => search.focus(), "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8),
    0: fit, f: fit, Escape: clear,
    ArrowLeft: () => pan(60, 0), ArrowRight: () => pan(-60, 0),
    ArrowUp: () => pan(0, 60), ArrowDown: () => pan(0, -60),
  };
  document.addEventListener("keydown", (event) => {
    if (event.target === search || event.ctrlKey || event.metaKey || event.altKey) return;
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
  document.getElementById("in").addEventListener("click", () => zoom(1.25));
  document.getElementById("out").addEventListener("click", () => zoom(0.8));
  document.getElementById("fit").addEventListener("click", fit);
  addEventListener("resize", () => (isWhole ? fit() : show()));
  fit();
})();
