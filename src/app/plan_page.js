// Charts and sliders of a report. Every figure comes from the plan in the page or from evaluate().
"use strict";
const plan = JSON.parse(document.getElementById("plan").textContent);
const CURRENCY = plan.currency, USD = plan.currency_usd[1];
const SHOWN = 7;
const setting = {};
for (const input of plan.inputs) setting[input.name] = input.range[1];
const planned = Object.assign({}, setting);

function make(tag, attributes, text, parent) {
  const isSvg = parent && (parent.namespaceURI || "").endsWith("svg");
  const node = isSvg ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const key in attributes || {}) node.setAttribute(key, attributes[key]);
  if (text !== undefined && text !== null) node.textContent = text;
  if (parent) parent.appendChild(node);
  return node;
}

function money(usd) {
  if (usd === null || !isFinite(usd)) return "-";
  const value = usd / USD, size = Math.abs(value);
  if (size >= 1e9) return (value / 1e9).toFixed(2) + "G";
  if (size >= 1e6) return (value / 1e6).toFixed(2) + "M";
  if (size >= 1e4) return (value / 1e3).toFixed(1) + "k";
  return size >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function percent(share) {
  return (100 * share).toFixed(0) + "%";
}

function range(values, show) {
  return values ? show(values[0]) + " .. " + show(values[2]) : "";
}

const admitted = plan.options.filter(o => o.admitted), refused = plan.options.filter(o => !o.admitted);

// One of each kind first, then the next cheapest: what a chart has room for.
function shownOptions() {
  const kinds = new Set(), first = [], rest = [];
  for (const o of admitted) {
    (kinds.has(o.kind) ? rest : first).push(o);
    kinds.add(o.kind);
  }
  return first.concat(rest).slice(0, SHOWN);
}
const shown = shownOptions();
const color = i => "var(--c" + i % 7 + ")";

function results() {
  return plan.options.map(o => evaluate(plan.demand, o.cost, setting));
}

function cell(row, text, kind) {
  return make(kind === "th" ? "th" : "td", {class: "n"}, text, row);
}

function drawOptions(all) {
  const table = document.getElementById("options");
  table.textContent = "";
  const head = make("tr", {}, null, table);
  make("th", {}, "", head);
  for (const title of ["present cost, " + CURRENCY, "5% .. 95%", "a million tokens",
    "paid back, months", "cheapest in", "utilisation", "kWh / M tokens", "kg CO2e / M tokens",
    "SEAL score"]) cell(head, title, "th");
  const buyable = admitted.some(o => o.kind === "tokens bought") ? admitted : plan.options;
  const bestTokens = buyable.filter(o => o.kind === "tokens bought")
    .map(o => all[plan.options.indexOf(o)]).sort((a, b) => a.npv_usd - b.npv_usd)[0];
  const order = admitted.slice().sort((a, b) =>
    all[plan.options.indexOf(a)].npv_usd - all[plan.options.indexOf(b)].npv_usd);
  for (const o of order.slice(0, 14)) {
    const r = all[plan.options.indexOf(o)], row = make("tr", {}, null, table);
    const months = bestTokens && o.kind !== "tokens bought" ? breakEven(r, bestTokens) : undefined;
    const name = make("td", {}, o.name, row);
    if (o.measure) make("div", {class: "soft"}, "surer by: " + o.measure, name);
    cell(row, money(r.npv_usd));
    cell(row, range(o.npv_usd_range, money));
    cell(row, money(r.usd_per_million_tokens));
    cell(row, months === undefined ? "" : months === null ? "never" : String(months));
    cell(row, o.best_share === undefined ? "" : percent(o.best_share));
    cell(row, o.kind === "tokens bought" ? "" : percent(r.utilisation));
    cell(row, o.kind === "tokens bought" ? "not known" : r.kwh_per_million_tokens.toPrecision(3));
    cell(row, o.kind === "tokens bought" ? "not known"
      : (r.kwh_per_million_tokens * setting["co2-kg-per-kwh"]).toPrecision(3));
    cell(row, o.seal_score.toFixed(0));
  }
  for (const o of refused.slice(0, 8)) {
    const row = make("tr", {class: "refused"}, null, table);
    make("td", {}, o.name, row);
    make("td", {colspan: 9}, "gone: " + o.why_not, row);
  }
}

// ---- charts ----

function niceStep(most, n) {
  const raw = most / n, power = Math.pow(10, Math.floor(Math.log10(raw)));
  return [1, 2, 5, 10].find(k => k * power >= raw) * power;
}

function axes(svg, box, most, unit, xMost, xUnit, scale = 1) {
  const step = niceStep(most / scale, 4) * scale, xStep = niceStep(xMost, 8);
  const y = v => box.bottom - (box.bottom - box.top) * v / most;
  const x = v => box.left + (box.right - box.left) * v / xMost;
  for (let v = 0; v <= most * 1.0001; v += step) {
    make("line", {x1: box.left, x2: box.right, y1: y(v), y2: y(v), class: "axis"}, null, svg);
    make("text", {x: box.left - 8, y: y(v) + 4, "text-anchor": "end", class: "soft"}, unit(v), svg);
  }
  for (let v = 0; v <= xMost * 1.0001; v += xStep) {
    make("text", {x: x(v), y: box.bottom + 18, "text-anchor": "middle", class: "soft"}, xUnit(v),
      svg);
  }
  return {x, y};
}

function legend(id, names) {
  const place = document.getElementById(id);
  place.textContent = "";
  names.forEach((name, i) => {
    const item = make("span", {}, null, place);
    make("i", {style: "background:" + color(i)}, null, item);
    item.appendChild(document.createTextNode(name));
  });
}

function drawTime(all) {
  const svg = document.getElementById("time");
  svg.textContent = "";
  legend("time-legend", shown.map(o => o.name));
  const curves = shown.map(o => {
    const r = all[plan.options.indexOf(o)];
    return [r.parts.capex > 0 ? firstCapex(o) : 0].concat(r.cumulative);
  });
  const most = Math.max(1e-9, ...curves.map(c => c[c.length - 1])) * 1.05;
  const at = axes(svg, {left: 80, right: 940, top: 12, bottom: 295}, most, money,
    plan.demand.months, v => v === 0 ? "month 0" : String(v), USD);
  curves.forEach((curve, i) => {
    make("polyline", {fill: "none", stroke: color(i), "stroke-width": 2.2,
      points: curve.map((v, m) => at.x(m).toFixed(1) + "," + at.y(v).toFixed(1)).join(" ")},
    null, svg);
  });
  const tokens = shown.findIndex(o => o.kind === "tokens bought");
  if (tokens < 0) return;
  shown.forEach((o, i) => {
    if (o.kind === "tokens bought") return;
    const months = breakEven(all[plan.options.indexOf(o)], all[plan.options.indexOf(shown[tokens])]);
    if (months !== null && months > 0) {
      const v = curves[i][months];
      make("circle", {cx: at.x(months), cy: at.y(v), r: 5, fill: color(i)}, null, svg);
      make("text", {x: at.x(months) + 8, y: at.y(v) + 16}, "paid back", svg);
    }
  });
}

// What is bought before the first month.
function firstCapex(o) {
  const once = Object.assign({}, plan.demand, {months: 1});
  return evaluate(once, o.cost, setting).parts.capex;
}

function drawTornado() {
  const svg = document.getElementById("tornado"), bars = plan.tornado.slice(0, 12);
  const height = 40 + bars.length * 24;
  svg.setAttribute("viewBox", "0 0 960 " + height);
  if (bars.length === 0) {
    make("text", {x: 10, y: 20}, "There is one option only.", svg);
    return;
  }
  const values = bars.flatMap(b => [b.at_low_usd, b.at_high_usd]).concat([0, plan.advantage_usd]);
  const low = Math.min(...values), high = Math.max(...values), left = 250, right = 860;
  const x = v => left + (right - left) * (v - low) / (high - low || 1);
  make("line", {x1: x(0), x2: x(0), y1: 8, y2: height - 26, stroke: "var(--ink)"}, null, svg);
  make("text", {x: x(0), y: height - 8, "text-anchor": "middle", class: "soft"},
    "0: the answer flips", svg);
  bars.forEach((b, i) => {
    const from = x(Math.min(b.at_low_usd, b.at_high_usd)), y = 12 + i * 24;
    const to = x(Math.max(b.at_low_usd, b.at_high_usd));
    const flips = Math.min(b.at_low_usd, b.at_high_usd) < 0;
    make("text", {x: left - 12, y: y + 12, "text-anchor": "end"}, b.input, svg);
    make("rect", {x: from, y, width: Math.max(1, to - from), height: 16,
      fill: flips ? "var(--bad)" : "var(--c0)"}, null, svg);
    make("text", {x: to + 6, y: y + 12, class: "soft"},
      money(Math.max(b.at_low_usd, b.at_high_usd)), svg);
    make("text", {x: from - 6, y: y + 12, "text-anchor": "end", class: "soft"},
      from - left > 60 ? money(Math.min(b.at_low_usd, b.at_high_usd)) : "", svg);
  });
}

function drawLatency() {
  const svg = document.getElementById("latency");
  const good = plan.sizings.filter(s => s.meets).slice(0, SHOWN);
  if (good.length === 0) {
    make("text", {x: 10, y: 20}, "No machines were simulated that meet the targets.", svg);
    return;
  }
  legend("latency-legend", good.map(s => s.device + ", " + s.weights + ", " + s.replicas + " x " +
    s.devices_per_replica));
  const limit = plan.slo.ttft_s > 0 ? plan.slo.ttft_s : 1;
  const most = limit * 2.5, xMost = Math.max(...good.flatMap(s => s.curve.map(p => p.load)));
  const at = axes(svg, {left: 80, right: 940, top: 12, bottom: 262}, most,
    v => (v * 1000).toFixed(0) + " ms", xMost, v => v.toFixed(1) + " x peak");
  make("line", {x1: 80, x2: 940, y1: at.y(limit), y2: at.y(limit), stroke: "var(--bad)",
    "stroke-dasharray": "6 4"}, null, svg);
  make("text", {x: 86, y: at.y(limit) - 6}, "target of the first token", svg);
  good.forEach((s, i) => {
    make("polyline", {fill: "none", stroke: color(i), "stroke-width": 2.2, points: s.curve.map(p =>
      at.x(p.load).toFixed(1) + "," + at.y(Math.min(p.ttft_s, most)).toFixed(1)).join(" ")},
    null, svg);
  });
}

function drawMemory() {
  const svg = document.getElementById("memory"), parts = [["weights_bytes", "weights"],
    ["activation_bytes", "activations"], ["other_bytes", "engine"], ["kv_bytes", "KV cache"]];
  const cards = plan.sizings.filter(s => s.memory_bytes > 0);
  svg.setAttribute("viewBox", "0 0 960 " + (40 + cards.length * 30));
  const most = Math.max(1, ...cards.map(s => s.memory_bytes));
  parts.forEach((p, k) => {
    make("rect", {x: 250 + k * 130, y: 4, width: 12, height: 12, fill: color(k)}, null, svg);
    make("text", {x: 268 + k * 130, y: 15}, p[1], svg);
  });
  cards.forEach((s, i) => {
    const y = 30 + i * 30, scale = 560 / most;
    let x = 250;
    make("text", {x: 240, y: y + 14, "text-anchor": "end"}, s.device + ", " + s.weights, svg);
    make("rect", {x, y, width: s.memory_bytes * scale, height: 20, fill: "none",
      stroke: "var(--soft)"}, null, svg);
    parts.forEach((p, k) => {
      const width = Math.max(0, Math.min(s[p[0]], s.memory_bytes)) * scale;
      make("rect", {x, y, width, height: 20, fill: color(k)}, null, svg);
      x += width;
    });
    make("text", {x: 255 + s.memory_bytes * scale, y: y + 14, class: "soft"},
      s.meets ? s.kv_tokens + " tokens" : "does not fit or is too slow", svg);
  });
}

// ---- words ----

function drawWords() {
  const d = plan.demand, best = plan.options.find(o => o.name === plan.answer);
  document.title = "Plan: " + plan.scenario;
  document.getElementById("title").textContent = plan.scenario;
  document.getElementById("question").textContent = plan.model + " on " + plan.engine + ", " +
    d.peak_requests_per_s.toPrecision(3) + " requests/s at the peak, " +
    d.input_tokens_mean.toFixed(0) + " tokens in and " + d.output_tokens_mean.toFixed(0) +
    " out, " + d.months + " months, money in " + CURRENCY + " before tax";
  const answer = document.getElementById("answer");
  make("b", {}, (plan.keep_buying_tokens ? "Keep buying tokens: " : "") + plan.answer, answer);
  if (best.best_share !== undefined) {
    make("p", {}, "The cheapest in " + percent(best.best_share) + " of " + plan.draws +
      " random draws over all ranges. Surer by: " + (best.measure || "nothing that is uncertain") +
      ".", answer);
  }
  const oftenest = admitted.slice().sort((a, b) => (b.best_share || 0) - (a.best_share || 0))[0];
  if (oftenest !== best && oftenest.best_share > 0) {
    make("p", {}, "Most often the cheapest, in " + percent(oftenest.best_share) + ": " +
      oftenest.name + ". The two are too close to tell apart without that.", answer);
  }
  if (plan.flip_utilisation !== null) {
    make("p", {}, "Own machines and tokens cost the same at " + percent(plan.flip_utilisation) +
      " utilisation.", answer);
  }
  const rules = document.getElementById("rules");
  if (refused.length === 0) make("p", {}, "No option is forbidden.", rules);
  for (const r of refused.length > 0 ? plan.rules : []) {
    make("p", {}, "The rule for " + r.class + " data costs " + money(r.usd) + " " + CURRENCY +
      (r.usd > 0 ? ": without it, " + r.instead : ""), rules);
  }
  if (refused.length > 0) {
    make("p", {}, "All rules together cost " + money(plan.all_rules_usd) + " " + CURRENCY +
      ": without them, " + plan.without_rules, rules);
  }
  const table = document.getElementById("inputs"), head = make("tr", {}, null, table);
  for (const t of ["", "value", "range", "unit", "from", "surer by"]) make("th", {}, t, head);
  for (const input of plan.inputs) {
    const row = make("tr", {}, null, table);
    make("td", {}, input.name + ": " + input.about, row);
    cell(row, String(input.range[1]));
    cell(row, input.range[2] > input.range[0] ? input.range[0] + " .. " + input.range[2] : "");
    make("td", {}, input.unit, row);
    make("td", {}, input.told ? "the scenario" : "assumed", row);
    make("td", {}, input.measure, row);
  }
  const sources = document.getElementById("sources"), seen = new Set();
  for (const o of admitted) {
    const line = "Price: " + o.price_source + ", " + o.price_date;
    if (!seen.has(line)) make("p", {class: "soft"}, line, sources);
    seen.add(line);
  }
}

// ---- sliders ----

const SLIDERS = ["load", "growth", "capacity", "hardware-price", "rent-price", "api-price",
  "api-drift", "hardware-drift", "energy-usd-per-kwh", "pue", "staff-base", "discount-rate"];

function bounds(input) {
  const [low, typical, high] = input.range;
  if (input.unit === "x" && input.name !== "pue") return [0.1, 4];
  const width = Math.max(high - low, Math.abs(typical), 0.1);
  return [Math.max(input.least, low - width), high + width];
}

function drawAll() {
  const all = results();
  drawOptions(all);
  drawTime(all);
}

function makeSliders() {
  const place = document.getElementById("sliders");
  for (const name of SLIDERS) {
    const input = plan.inputs.find(i => i.name === name), [low, high] = bounds(input);
    const label = make("label", {}, null, place);
    make("span", {}, input.about + " (" + input.unit + ")", label);
    const out = make("output", {}, String(setting[name]), label);
    const slider = make("input", {type: "range", min: low, max: high, step: "any",
      "data-input": name}, null, label);
    slider.value = setting[name];
    slider.addEventListener("input", () => {
      setting[name] = Number(slider.value);
      out.textContent = Number(setting[name].toPrecision(3));
      drawAll();
    });
  }
  document.getElementById("reset").addEventListener("click", () => {
    Object.assign(setting, planned);
    for (const slider of place.querySelectorAll("input")) {
      slider.value = setting[slider.dataset.input];
      slider.previousSibling.textContent = setting[slider.dataset.input];
    }
    drawAll();
  });
}

drawWords();
makeSliders();
drawAll();
drawTornado();
drawLatency();
drawMemory();
