// Tables, charts and sliders of a report. Every figure comes from the plan in the page or from
// plan_cost.js.
"use strict";
const plan = JSON.parse(document.getElementById("plan").textContent);
const CURRENCY = plan.currency, USD = plan.currency_usd[1];
const TOKENS = "tokens bought", SHOWN = 7, ROWS = 14, REFUSED = 8;
const OBJECTIVES = ["strategic", "legal", "data and AI", "operational", "supply chain",
  "technology", "security", "environment"];
const setting = {};
for (const input of plan.inputs) setting[input.name] = input.range[1];
const planned = Object.assign({}, setting);
const byId = id => document.getElementById(id);

function make(tag, attributes, text, parent) {
  const isSvg = tag === "svg" || (parent && (parent.namespaceURI || "").endsWith("svg"));
  const node = isSvg ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const key in attributes || {}) node.setAttribute(key, attributes[key]);
  if (text !== undefined && text !== null) node.textContent = text;
  if (parent) parent.appendChild(node);
  return node;
}

// ---- numbers as words ----

function money(usd) {
  if (usd === null || usd === undefined || !isFinite(usd)) return "-";
  const value = usd / USD, size = Math.abs(value);
  if (size >= 1e9) return (value / 1e9).toFixed(2) + "bn";
  if (size >= 1e6) return (value / 1e6).toFixed(2) + "M";
  if (size >= 1e4) return (value / 1e3).toFixed(1) + "k";
  if (size >= 100 || size === 0) return value.toFixed(0);
  return size >= 1 ? value.toFixed(2) : value.toPrecision(3);
}

// On an axis: 500M, not 500.00M.
function axisMoney(usd) {
  return money(Number((usd / USD).toPrecision(9)) * USD * (1 + 1e-12)).replace(/\.0+(?=\D|$)/, "")
    .replace(/(\.\d*?)0+(?=\D|$)/, "$1");
}

function asSet(input, value) {
  return input.unit === "a year" || input.unit.startsWith("of price")
    ? short(100 * value) + "%" : short(value);
}

function short(value) {
  return String(Number(value.toPrecision(3)));
}

function percent(share) {
  return (100 * share).toFixed(0) + "%";
}

function months(value) {
  return value === null ? "never" : value === 0 ? "from the first" : value.toFixed(1);
}

function between(range, show) {
  return range && range[0] !== null ? show(range[0]) + " .. " + show(range[2]) : "";
}

// ---- options at the sliders' settings ----

const admitted = plan.options.filter(o => o.admitted);
const refused = plan.options.filter(o => !o.admitted);
const named = name => plan.options.find(o => o.name === name);
const color = i => "var(--c" + i % SHOWN + ")";

// One of each kind first, then the next cheapest: what a chart has room for. What costs many times
// as much as the rest would press the others together.
function shownOptions() {
  const kinds = new Set(), first = [], rest = [];
  for (const o of admitted) {
    if (o.npv_usd > 4 * admitted[0].npv_usd && o.kind !== TOKENS) continue;
    (kinds.has(o.kind) ? rest : first).push(o);
    kinds.add(o.kind);
  }
  return first.concat(rest).slice(0, SHOWN);
}
const shown = shownOptions();

// Of every option, in the plan's order. The cheapest tokens are what the others are paid back
// against: those that may be had, or else those that the rules forbid.
function results() {
  const all = new Map();
  for (const o of plan.options) {
    all.set(o, total(o.parts.map(p => evaluate(plan.models[p.at].demand, p.cost, setting))));
  }
  const has = list => list.filter(o => o.kind === TOKENS)
    .sort((a, b) => all.get(a).npv_usd - all.get(b).npv_usd)[0];
  const tokens = has(admitted) || has(refused);
  for (const o of plan.options) {
    const r = all.get(o);
    r.co2_kg_per_million_tokens = r.kwh_per_million_tokens * setting["co2-kg-per-kwh"];
    r.paid_back = tokens && o.kind !== TOKENS ? breakEven(r, all.get(tokens)) : undefined;
  }
  return {all, tokens};
}

function cell(row, text, key) {
  return make("td", key ? {class: "n", "data-figure": key} : {class: "n"}, text, row);
}

function head(table, titles) {
  const row = make("tr", {}, null, make("thead", {}, null, table));
  titles.forEach((title, i) => {
    make("th", i > 0 ? {class: "n", scope: "col"} : {scope: "col"}, title, row);
  });
  return make("tbody", {}, null, table);
}

// A way of each model on a line of its own.
function putName(parent, o) {
  if (o.parts.length === 1) parent.appendChild(document.createTextNode(o.name));
  else for (const p of o.parts) make("div", {}, p.model + ": " + p.name, parent);
}

function cheapestFirst(all) {
  return admitted.slice().sort((a, b) => all.get(a).npv_usd - all.get(b).npv_usd);
}

function drawNow({all}) {
  const order = cheapestFirst(all), best = order[0], next = order.find(o => o.kind !== best.kind);
  const isMoved = plan.inputs.some(i => setting[i.name] !== planned[i.name]);
  const line = byId("now");
  line.textContent = isMoved ? "At the sliders' settings the cheapest is "
    : "As planned. The sliders below change these figures.";
  if (!isMoved) return;
  make("strong", {}, best.name, line);
  line.appendChild(document.createTextNode(", " + CURRENCY + " " + money(all.get(best).npv_usd) +
    (next ? "; the best other way costs " + CURRENCY + " " +
      money(all.get(next).npv_usd - all.get(best).npv_usd) + " more: " + next.name : "") + "."));
}

function drawOptions({all}) {
  const table = byId("options");
  table.textContent = "";
  const body = head(table, ["Money in " + CURRENCY + ", before tax", "present cost",
    "5% .. 95% as planned", "a million tokens", "paid back, months", "cheapest, as planned",
    "utilisation", "kWh / M tokens", "kg CO2e / M tokens", "SEAL score"]);
  for (const o of cheapestFirst(all).slice(0, ROWS)) {
    const r = all.get(o), has = o.kind !== TOKENS;
    const row = make("tr", {"data-option": plan.options.indexOf(o)}, null, body);
    const name = make("td", {class: "name"}, null, row);
    putName(name, o);
    if (o.measure) {
      make("div", {class: "soft"}, "widest by " + o.driver + " (" + percent(o.driver_share) +
        "); surer by: " + o.measure, name);
    }
    cell(row, money(r.npv_usd), "npv_usd");
    cell(row, between(o.npv_usd_range, money));
    cell(row, money(r.usd_per_million_tokens), "usd_per_million_tokens");
    cell(row, r.paid_back === undefined ? "" : months(r.paid_back), "paid_back");
    cell(row, o.best_share === undefined ? "" : percent(o.best_share));
    cell(row, has ? percent(r.utilisation) : "", "utilisation");
    cell(row, has ? r.kwh_per_million_tokens.toPrecision(3) : "not known",
      "kwh_per_million_tokens");
    cell(row, has ? r.co2_kg_per_million_tokens.toPrecision(3) : "not known",
      "co2_kg_per_million_tokens");
    cell(row, o.seal_score.toFixed(0));
  }
  for (const o of refused.slice(0, REFUSED)) {
    const row = make("tr", {class: "refused"}, null, body);
    putName(make("td", {class: "name"}, null, row), o);
    make("td", {colspan: 9}, "gone: " + o.why_not, row);
  }
  if (refused.length > REFUSED) {
    make("td", {colspan: 10, class: "refused"}, "and " + (refused.length - REFUSED) +
      " more that the rules for data forbid", make("tr", {}, null, body));
  }
}

function drawParts({all}) {
  const names = {capex: "machines", loan: "loans", rent: "rent", tail: "tokens", staff: "staff",
    energy: "energy", space: "space", maintenance: "repair", software: "licences"};
  const table = byId("parts"), list = cheapestFirst(all).slice(0, ROWS);
  table.textContent = "";
  const used = Object.keys(names).filter(key => list.some(o => all.get(o).parts[key] > 0));
  const body = head(table, [CURRENCY + " over " + plan.demand.months + " months, undiscounted"]
    .concat(used.map(key => names[key]), ["in all", "machines are worth"]));
  for (const o of list) {
    const r = all.get(o), row = make("tr", {}, null, body);
    putName(make("td", {class: "name"}, null, row), o);
    for (const key of used) cell(row, r.parts[key] > 0 ? money(r.parts[key]) : "");
    cell(row, money(r.paid_usd), "paid_usd");
    cell(row, r.left_usd ? money(r.left_usd) : "");
  }
}

// ---- charts: drawn at the width they have, so that their text can be read ----

let paperWidth = 0; // while it is printed

function start(svg, height) {
  const width = paperWidth ||
    Math.max(300, Math.round(svg.getBoundingClientRect().width) || 960);
  svg.textContent = "";
  svg.setAttribute("viewBox", "0 0 " + width + " " + height);
  return width;
}

function niceStep(most, n) {
  const raw = most / n, power = Math.pow(10, Math.floor(Math.log10(raw)));
  return [1, 2, 5, 10].find(k => k * power >= raw) * power;
}

function axes(svg, box, most, unit, xMost, xUnit, scale = 1) {
  const step = niceStep(most / scale, 4) * scale;
  const xStep = niceStep(xMost, box.right > 600 ? 8 : 4);
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

function legend(place, names) {
  place.textContent = "";
  names.forEach((name, i) => {
    const item = make("span", {}, null, place);
    make("i", {style: "background:" + color(i)}, null, item);
    item.appendChild(document.createTextNode(name));
  });
}

function line(svg, points, i) {
  make("polyline", {fill: "none", stroke: color(i), "stroke-width": 2.2,
    points: points.map(p => p[0].toFixed(1) + "," + p[1].toFixed(1)).join(" ")}, null, svg);
}

// Numbers beside the ends of lines, moved apart where two would cover one another.
function numberEnds(svg, ends) {
  let last = -Infinity;
  for (const end of ends.sort((a, b) => a.y - b.y)) {
    last = Math.max(end.y + 4, last + 13);
    make("text", {x: end.x + 5, y: last, style: "fill:" + color(end.i) + ";font-weight:600"},
      end.i + 1, svg);
  }
}

function drawTime({all, tokens}) {
  const svg = byId("time"), width = start(svg, 330);
  legend(byId("time-legend"), shown.map((o, i) => i + 1 + ": " + o.name));
  const curves = shown.map(o => {
    const r = all.get(o);
    return [r.bought[0]].concat(r.cumulative);
  });
  const most = Math.max(1e-9, ...curves.map(c => c[c.length - 1])) * 1.05;
  const at = axes(svg, {left: 64, right: width - 24, top: 12, bottom: 295}, most,
    axisMoney, plan.demand.months, v => v === 0 ? "month 0" : String(v), USD);
  curves.forEach((curve, i) => line(svg, curve.map((v, m) => [at.x(m), at.y(v)]), i));
  numberEnds(svg, curves.map((c, i) => ({x: at.x(plan.demand.months), y: at.y(c.at(-1)), i})));
  const notes = [];
  shown.forEach((o, i) => {
    const r = all.get(o);
    if (!r.paid_back) return;
    const before = Math.floor(r.paid_back), share = r.paid_back - before, c = curves[i];
    const v = c[before] + share * ((c[before + 1] ?? c[before]) - c[before]);
    make("circle", {cx: at.x(r.paid_back), cy: at.y(v), r: 5, fill: "var(--paper)",
      stroke: color(i), "stroke-width": 2.5}, null, svg);
    notes.push(i + 1 + " after " + r.paid_back.toFixed(1) + " months");
  });
  byId("time-note").textContent = !tokens ? "No tokens of an API were compared." : (notes.length > 0
    ? "Circles: from there less has been paid than for " + tokens.name + ": " + notes.join(", ") +
      "." : "Nothing here is paid back against " + tokens.name + " within the horizon.") +
    (tokens.admitted ? "" : " The rules for data forbid these tokens; they are compared only.");
}

function drawTornado() {
  const svg = byId("tornado"), bars = plan.tornado.slice(0, 12), rowHeight = 38;
  byId("tornado-note").textContent = bars.length === 0
    ? "There is no other way to compare the answer with."
    : CURRENCY + " that the answer saves against the best other way (" + plan.runner_up + "), at " +
      "the low and the high end of each input, the others as planned. Left of the line the " +
      "other way is cheaper: the answer flips.";
  const height = bars.length * rowHeight + 24, width = start(svg, height);
  if (bars.length === 0) return;
  const values = bars.flatMap(b => [b.at_low_usd, b.at_high_usd]).concat([0, plan.advantage_usd]);
  const low = Math.min(...values), high = Math.max(...values);
  const x = v => 6 + (width - 12) * (v - low) / (high - low || 1);
  bars.forEach((b, i) => {
    const y = i * rowHeight, from = Math.min(b.at_low_usd, b.at_high_usd);
    const to = Math.max(b.at_low_usd, b.at_high_usd), input = plan.inputs.find(k =>
      k.name === b.input);
    const ends = input.range[2] > input.range[0]
      ? [asSet(input, input.range[0]), asSet(input, input.range[2])]
      : ["its low end", "its high end"];
    make("text", {x: 6, y: y + 13}, b.input + ": " + money(b.at_low_usd) + " at " + ends[0] + ", " +
      money(b.at_high_usd) + " at " + ends[1] + (from < 0 ? "; flips" : ""), svg);
    make("rect", {x: x(from), y: y + 18, width: Math.max(1, x(to) - x(from)), height: 13,
      fill: "var(--c0)"}, null, svg);
    if (from < 0) {
      make("rect", {x: x(from), y: y + 18, width: x(Math.min(0, to)) - x(from), height: 13,
        fill: "var(--bad)"}, null, svg);
    }
  });
  const bottom = bars.length * rowHeight;
  for (let y = 0; y < bottom; y += rowHeight) { // beside the bars, not through the words
    make("line", {x1: x(0), x2: x(0), y1: y + 16, y2: y + 34, stroke: "var(--ink)"}, null, svg);
    make("line", {x1: x(plan.advantage_usd), x2: x(plan.advantage_usd), y1: y + 16, y2: y + 34,
      stroke: "var(--soft)", "stroke-dasharray": "3 3"}, null, svg);
  }
  make("text", {x: Math.min(Math.max(x(0), 30), width - 30), y: bottom + 16,
    "text-anchor": "middle", class: "soft"}, "0", svg);
  const planAt = x(plan.advantage_usd);
  if (Math.abs(planAt - x(0)) > 90) {
    make("text", {x: Math.min(Math.max(planAt, 60), width - 60), y: bottom + 16,
      "text-anchor": "middle", class: "soft"}, "planned: " + money(plan.advantage_usd), svg);
  }
}

function drawCurves(parent, sizings, key, limit, title, percentile) {
  make("h3", {}, title, parent);
  const svg = make("svg", {role: "img", "aria-label": title}, null, parent);
  const width = start(svg, 280), most = limit * 2;
  const xMost = Math.max(...sizings.flatMap(s => s.curve.map(p => p.load)));
  const at = axes(svg, {left: 64, right: width - 24, top: 12, bottom: 240}, most,
    v => limit >= 10 ? short(v) + " s" : (v * 1000).toFixed(0) + " ms", xMost, short);
  make("text", {x: width - 24, y: 274, "text-anchor": "end", class: "soft"},
    "load, 1 is the planned peak", svg);
  make("line", {x1: 64, x2: width - 24, y1: at.y(limit), y2: at.y(limit), stroke: "var(--bad)",
    "stroke-dasharray": "6 4"}, null, svg);
  make("text", {x: 70, y: at.y(limit) - 6}, "target for " + percentile + "% of requests", svg);
  make("line", {x1: at.x(1), x2: at.x(1), y1: 12, y2: 240, stroke: "var(--soft)",
    "stroke-dasharray": "2 3"}, null, svg);
  const ends = [];
  sizings.forEach((s, i) => {
    const points = s.curve.map(p => [at.x(p.load), at.y(Math.min(p[key], most))]);
    line(svg, points, i);
    s.curve.forEach((p, k) => {
      if (p[key] <= most) make("circle", {cx: points[k][0], cy: points[k][1], r: 2.5,
        fill: color(i)}, null, svg);
    });
    const last = points[points.length - 1];
    ends.push({x: Math.min(last[0], width - 24), y: last[1], i});
  });
  numberEnds(svg, ends);
}

function drawLatency() {
  const place = byId("latency");
  place.textContent = "";
  for (const model of plan.models) {
    const good = plan.sizings.filter(s => s.meets && s.model === model.name).slice(0, SHOWN);
    if (plan.models.length > 1) make("h3", {}, model.name, place);
    if (good.length === 0) {
      make("p", {}, "No machines were simulated that meet the targets.", place);
      continue;
    }
    const names = make("div", {class: "legend"}, null, place);
    legend(names, good.map((s, i) => i + 1 + ": " + s.replicas + " x " +
      s.devices_per_replica + " " + s.device + ", " + s.weights));
    const slo = model.slo;
    if (slo.ttft_s > 0) {
      drawCurves(place, good, "ttft_s", slo.ttft_s, "Time to the first token", slo.percentile);
    }
    if (slo.tpot_s > 0) {
      drawCurves(place, good, "tpot_s", slo.tpot_s, "Time of each further token", slo.percentile);
    }
    if (slo.latency_s > 0) {
      drawCurves(place, good, "latency_s", slo.latency_s, "Time of the whole answer",
        slo.percentile);
    }
  }
}

function drawMemory() {
  const parts = [["weights_bytes", "weights"], ["activation_bytes", "activations"],
    ["other_bytes", "engine"], ["kv_bytes", "KV cache"]];
  const svg = byId("memory"), cards = plan.sizings.filter(s => s.memory_bytes > 0);
  legend(byId("memory-legend"), parts.map(p => p[1]));
  const width = start(svg, cards.length * 44 + 4), gb = v => (v / 1e9).toFixed(1);
  const most = Math.max(1, ...cards.map(s => s.memory_bytes)), scale = (width - 8) / most;
  cards.forEach((s, i) => {
    const y = i * 44;
    let x = 4;
    make("text", {x: 4, y: y + 14}, (plan.models.length > 1 ? s.model + " on " : "") + s.device +
      ", " + s.weights + ": " + (s.meets ? gb(s.weights_bytes) + " + " + gb(s.kv_bytes) + " of " +
      gb(s.memory_bytes) + " GB" + (width > 600 ? "; the cache has " + s.kv_tokens + " tokens" : "")
        : width > 600 ? "no: " + s.why_not : "no"), svg);
    for (const [k, p] of parts.entries()) {
      const wide = Math.max(0, Math.min(s[p[0]], s.memory_bytes)) * scale;
      make("rect", {x, y: y + 20, width: Math.min(wide, s.memory_bytes * scale + 4 - x), height: 16,
        fill: color(k), opacity: s.meets ? 1 : 0.4}, null, svg);
      x = Math.min(x + wide, s.memory_bytes * scale + 4);
    }
    make("rect", {x: 4, y: y + 20, width: s.memory_bytes * scale, height: 16, fill: "none",
      stroke: "var(--soft)"}, null, svg);
  });
}

// ---- words ----

function drawQuestion() {
  const place = byId("question");
  document.title = "Plan: " + plan.scenario;
  byId("title").textContent = plan.scenario;
  for (const m of plan.models) {
    const cases = m.use_cases.map(u => u.name + (u.users > 0 ? " (" + u.users.toLocaleString("en") +
      " users)" : "") + ", " + u.data_class + " data").join("; ");
    make("p", {}, m.name + " on " + m.engine + ": " + short(m.peak_requests_per_s) +
      " requests/s at the peak, " + m.input_tokens_mean.toFixed(0) + " tokens in and " +
      m.output_tokens_mean.toFixed(0) + " out" + (cases ? "; " + cases : ""), place);
  }
  make("p", {}, plan.demand.months + " months; money in " + CURRENCY + " before tax" +
    (plan.currency_source ? "; 1 " + CURRENCY + " = " + short(USD) + " USD (" +
      plan.currency_source + ", " + plan.currency_date + ")" : ""), place);
}

function drawAnswer() {
  const place = byId("answer"), best = plan.options[0];
  putName(make("b", {}, plan.keep_buying_tokens ? "Keep buying tokens: " : "", place), best);
  const put = text => make("p", {}, text, place);
  put("Present cost " + CURRENCY + " " + money(best.npv_usd) + " (" +
    between(best.npv_usd_range, money) + "). The cheapest in " + percent(best.best_share) + " of " +
    plan.draws + " random draws over all ranges. Surer by: " +
    (best.measure || "nothing that is uncertain") + ".");
  if (plan.runner_up) {
    put("The best other way costs " + CURRENCY + " " + money(plan.advantage_usd) + " more: " +
      plan.runner_up + ".");
  }
  const oftenest = admitted.slice().sort((a, b) => (b.best_share || 0) - (a.best_share || 0))[0];
  if (oftenest !== best && oftenest.best_share > 0) {
    put("Too close to tell: " + oftenest.name + " is the cheapest more often, in " +
      percent(oftenest.best_share) + ".");
  }
  if (plan.flip_utilisation !== null) {
    put("The answer flips at " + percent(plan.flip_utilisation) + " utilisation, " +
      short(plan.flip_load) + " x the planned load: below it tokens cost less than " +
      plan.flip_option + ", above it more.");
  } else if (plan.always_cheaper) {
    put("It does not flip: at any utilisation up to 100% the cheaper is " + plan.always_cheaper +
      ", beside " + (plan.always_cheaper === plan.tokens ? plan.flip_option : plan.tokens) + ".");
  }
  if (plan.tokens && !named(plan.tokens).admitted) {
    put("Tokens are compared only: the rules for data forbid them.");
  } else if (!plan.tokens) {
    put("Tokens of an API were not compared: the scenario names none.");
  }
}

function drawRules() {
  const rules = byId("rules"), put = text => make("p", {}, text, rules);
  if (refused.length === 0) put("No option is forbidden.");
  for (const r of refused.length > 0 ? plan.rules : []) {
    put("The rule for " + r.class + " data costs " + CURRENCY + " " + money(r.usd) +
      (r.usd > 0 ? ": without it alone, " + r.instead : ""));
  }
  if (refused.length > 0 && plan.rules.length > 1) {
    put("All rules together cost " + CURRENCY + " " + money(plan.all_rules_usd) +
      ": without them, " + plan.without_rules);
  }
  const used = new Set(plan.options.flatMap(o => o.parts.flatMap(p => [p.place, p.tail_place])));
  put("SEAL levels and weights are those of the EU Cloud Sovereignty Framework 1.2.1 (October " +
    "2025).");
  const body = head(byId("places"), ["SEAL level (0 to 4) of each place" + (plan.places_told ? ""
    : ", assumed for its kind")].concat(OBJECTIVES, ["score of 100"]));
  for (const p of plan.places.filter(q => used.has(q.name))) {
    const row = make("tr", {}, null, body);
    make("td", {}, p.name, row);
    for (const level of p.seal) cell(row, String(level));
    cell(row, p.score.toFixed(0));
  }
}

function drawInputs() {
  const body = head(byId("inputs"), ["input", "value", "range"]);
  const row0 = byId("inputs").querySelector("thead tr");
  for (const t of ["unit", "from", "surer by"]) make("th", {scope: "col"}, t, row0);
  for (const input of plan.inputs) {
    const row = make("tr", {}, null, body);
    make("td", {}, input.name + ": " + input.about, row);
    cell(row, String(input.range[1]));
    const isOwn = OWN_RANGES.includes(input.name) && !input.told;
    cell(row, input.range[2] > input.range[0] ? input.range[0] + " .. " + input.range[2]
      : isOwn ? "each option's own" : "");
    make("td", {}, input.unit, row);
    make("td", {}, input.told ? "the scenario" : "assumed", row);
    make("td", {}, input.measure, row);
  }
  const sources = byId("sources"), seen = new Set();
  const put = (what, source, date) => {
    const text = what + ": " + source + ", " + date;
    if (!seen.has(text)) make("p", {}, text, sources);
    seen.add(text);
  };
  for (const p of admitted.flatMap(o => o.parts)) {
    put("Price of " + (p.sizing >= 0 ? plan.sizings[p.sizing].device : p.api.name),
      p.price_source, p.price_date);
    if (p.kind === "hybrid") put("Price of " + p.api.name, p.api.source, p.api.date);
  }
  for (const s of plan.sizings) put("Data of " + s.device, s.device_source, s.device_date);
  for (const m of plan.models) {
    if (m.source) put("Shape of " + m.name, m.source, m.date);
    put("Overheads of " + m.engine, m.engine_source, m.engine_date);
  }
  make("p", {}, "Machines are replaced after " + plan.life_months + " months; loans run for " +
    plan.loan_months + "; spare replicas of each model: " + plan.spare_replicas + ".", sources);
  make("p", {}, "Load over a day: " + plan.day + ". " + plan.simulations + " simulations. Energy " +
    "and CO2e of bought tokens are not published and not counted.", sources);
}

// What each option has a range of its own for: by the simulation, or by its prices' sources.
const OWN_RANGES = ["capacity", "hardware-price", "rent-price", "api-price"];

// ---- sliders ----

const SLIDERS = ["load", "growth", "capacity", "hardware-price", "rent-price", "api-price",
  "api-drift", "hardware-drift", "energy-usd-per-kwh", "pue", "staff-base", "staff-usd-per-year",
  "discount-rate", "co2-kg-per-kwh"];

function bounds(input) {
  const [low, typical, high] = input.range;
  if (input.unit === "x" && input.name !== "pue") return [0.1, 4];
  const width = Math.max(high - low, Math.abs(typical), 0.1);
  return [Math.max(input.least, low - width), high + width];
}

function drawSettings() {
  const now = results();
  drawNow(now);
  drawOptions(now);
  drawTime(now);
  drawParts(now);
}

function drawCharts() {
  drawTime(results());
  drawTornado();
  drawLatency();
  drawMemory();
}

function makeSliders() {
  const place = byId("sliders");
  for (const name of SLIDERS) {
    const input = plan.inputs.find(i => i.name === name), [low, high] = bounds(input);
    const label = make("label", {}, null, place);
    make("span", {}, input.about + " (" + input.unit + ")", label);
    const out = make("output", {}, asSet(input, setting[name]), label);
    const slider = make("input", {type: "range", min: low, max: high, step: "any",
      "data-input": name}, null, label);
    slider.value = setting[name];
    slider.addEventListener("input", () => {
      setting[name] = Number(slider.value);
      out.textContent = asSet(input, setting[name]);
      drawSettings();
    });
  }
  byId("reset").addEventListener("click", () => {
    Object.assign(setting, planned);
    for (const slider of place.querySelectorAll("input")) {
      slider.value = setting[slider.dataset.input];
      const input = plan.inputs.find(i => i.name === slider.dataset.input);
      slider.previousSibling.textContent = asSet(input, setting[input.name]);
    }
    drawSettings();
  });
}

drawQuestion();
drawAnswer();
makeSliders();
drawSettings();
drawRules();
drawInputs();
drawCharts();
let drawnWidth = document.body.clientWidth;
window.addEventListener("resize", () => {
  if (document.body.clientWidth !== drawnWidth) {
    drawnWidth = document.body.clientWidth;
    drawCharts();
  }
});
window.addEventListener("beforeprint", () => {
  paperWidth = 720;
  drawCharts();
});
window.addEventListener("afterprint", () => {
  paperWidth = 0;
  drawCharts();
});
