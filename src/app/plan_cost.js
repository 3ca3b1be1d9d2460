// The arithmetic of plan/cost.c once more, for a report's sliders. A test compares the two.
"use strict";
const KIND = {owned: 0, colocated: 1, rented: 2, reserved: 3, tokens: 4, hybrid: 5};
const SLACK = 1e-9;

function capacityOf(cost, n) {
  let beforeN = 0, beforeLoad = 0;
  for (let i = 0; i < cost.replicas.length; i++) {
    if (n <= cost.replicas[i]) {
      return beforeLoad +
        (cost.load[i] - beforeLoad) * (n - beforeN) / (cost.replicas[i] - beforeN);
    }
    beforeN = cost.replicas[i];
    beforeLoad = cost.load[i];
  }
  return beforeN > 0 ? beforeLoad * n / beforeN : 0;
}

function replicasFor(cost, load) {
  let beforeN = 0, beforeLoad = 0;
  for (let i = 0; i < cost.replicas.length; i++) {
    const at = cost.load[i];
    if (load <= at * (1 + SLACK)) {
      const share = at > beforeLoad ? (load - beforeLoad) / (at - beforeLoad) : 1;
      return Math.max(1, Math.ceil(beforeN + (cost.replicas[i] - beforeN) * share - SLACK));
    }
    beforeN = cost.replicas[i];
    beforeLoad = at;
  }
  return beforeLoad > 0 ? Math.max(1, Math.ceil(load / beforeLoad * beforeN - SLACK)) : 0;
}

// Devices that must be had for so many replicas, whole servers.
function devicesFor(cost, n) {
  const devices = n * cost.devices_per_replica, unit = cost.unit_devices;
  return unit > 1 ? Math.ceil(devices / unit - SLACK) * unit : devices;
}

function staffShare(kind, x) {
  if (kind === KIND.colocated) return x["staff-colocated-share"];
  return kind === KIND.rented || kind === KIND.reserved ? x["staff-rented-share"] : 1;
}

function annuity(rate, n) {
  return Math.abs(rate) < 1e-12 ? 1 / n : rate / (1 - Math.pow(1 + rate, -n));
}

function monthly(yearly) {
  return Math.pow(1 + yearly, 1 / 12) - 1;
}

function isBought(kind) {
  return kind === KIND.owned || kind === KIND.colocated || kind === KIND.hybrid;
}

function planMonth(demand, cost, x, at) {
  const month = {replicas: 0, served: 0, tail: 0, lost: 0, possible: 0, deviceH: 0, kwh: 0};
  const grown = x["load"] * Math.pow(1 + x["growth"], at / 12);
  const hasPlant = cost.replicas.length > 0;
  let peak = 0, working = 0;
  for (const load of demand.load) peak = Math.max(peak, load);
  if (hasPlant) {
    working = cost.fixed_replicas > 0 ? cost.fixed_replicas
      : replicasFor(cost, peak * grown / x["capacity"]);
    if (cost.unit_devices > 1) {
      working = Math.floor(devicesFor(cost, working + cost.spare_replicas) /
        cost.devices_per_replica + SLACK) - cost.spare_replicas;
    }
    month.replicas = working + cost.spare_replicas;
  }
  for (let i = 0; i < demand.load.length; i++) {
    const load = demand.load[i] * grown, hours = demand.hours[i];
    if (!hasPlant) {
      month.tail += load * hours;
      continue;
    }
    const most = capacityOf(cost, working) * x["capacity"], served = Math.min(load, most);
    month.served += served * hours;
    month.possible += most * hours;
    if (cost.sheds_tail) month.tail += (load - served) * hours;
    else month.lost += (load - served) * hours;
    let ready = month.replicas;
    if (cost.kind === KIND.rented) {
      ready = Math.min(working, replicasFor(cost, served / x["capacity"])) + cost.spare_replicas;
    }
    const busy = most > 0 ? served / most * working : 0;
    const devices = devicesFor(cost, ready), idle = devices / cost.devices_per_replica;
    month.deviceH += devices * hours;
    month.kwh += (idle * cost.idle_w + busy * (cost.busy_w - cost.idle_w)) * x["power"] *
      x["pue"] * hours / 1000;
  }
  return month;
}

function evaluate(demand, cost, x) {
  const n = demand.months, devices = [], price = [], cumulative = [];
  const rate = monthly(x["interest-rate"]), pay = annuity(rate, cost.loan_months);
  const hasPlant = cost.replicas.length > 0, bought = isBought(cost.kind);
  const parts = {capex: 0, loan: 0, maintenance: 0, energy: 0, space: 0, staff: 0, software: 0,
    rent: 0, tail: 0};
  let npv = 0, paid = 0, tokensValue = 0, served = 0, possible = 0, kwh = 0, mostDevices = 0;
  let deviceH = 0, tailTokens = 0, left = 0;
  const boughtIn = [];
  for (let at = 0; at < n; at++) {
    const plant = planMonth(demand, cost, x, at), year = at / 12;
    const m = {capex: 0, loan: 0, maintenance: 0, energy: 0, space: 0, staff: 0, software: 0,
      rent: 0, tail: 0};
    const has = devicesFor(cost, plant.replicas);
    let sold = 0;
    mostDevices = Math.max(mostDevices, has);
    if (hasPlant && bought) {
      price[at] = cost.device_usd * x["hardware-price"] * (1 + x["network-share"]) *
        Math.pow(1 + x["hardware-drift"], year);
      const first = Math.max(0, at - cost.life_months + 1);
      if (at >= cost.life_months) {
        const old = at - cost.life_months;
        sold = devices[old] * price[old] * x["residual-share"];
      }
      let owned = 0, worth = 0;
      for (let i = first; i < at; i++) owned += devices[i];
      devices[at] = Math.max(0, has - owned);
      m.capex = devices[at] * price[at] * (1 - x["financed-share"]);
      for (let i = first; i <= at; i++) worth += devices[i] * price[i];
      m.maintenance = worth * x["maintenance-share"] / 12;
      for (let i = Math.max(0, at + 1 - cost.loan_months); i <= at; i++) {
        m.loan += devices[i] * price[i] * x["financed-share"] * pay;
      }
    }
    if (hasPlant) {
      const kw = has * cost.provisioned_w * x["power"] / 1000;
      m.staff = (x["staff-base"] * cost.needs_staff + x["staff-per-device"] * has) *
        staffShare(cost.kind, x) * x["staff-usd-per-year"] / 12 *
        Math.pow(1 + x["staff-drift"], year);
      m.software = has * x["software-usd-per-device-year"] / 12;
      kwh += plant.kwh;
      if (bought) {
        m.energy = plant.kwh * x["energy-usd-per-kwh"] * Math.pow(1 + x["energy-drift"], year);
        m.space = kw * (cost.kind === KIND.colocated ? x["colocation-usd-per-kw-month"]
          : x["space-usd-per-kw-month"]);
      } else {
        const priced = cost.kind === KIND.reserved && cost.term_months > 0
          ? at - at % cost.term_months : at;
        m.rent = plant.deviceH * cost.device_usd_h * x["rent-price"] *
          Math.pow(1 + x["rent-drift"], priced / 12);
      }
    }
    const million = demand.million_tokens_per_peak_h;
    m.tail = plant.tail * million * cost.tail_usd_per_million_tokens * x["api-price"] *
      Math.pow(1 + x["api-drift"], year);
    const running = m.loan + m.maintenance + m.energy + m.space + m.staff + m.software + m.rent +
      m.tail;
    boughtIn.push(m.capex);
    paid += m.capex + running;
    cumulative.push(paid);
    npv += (m.capex - sold) * Math.pow(1 + x["discount-rate"], -year) +
      running * Math.pow(1 + x["discount-rate"], -((at + 1) / 12));
    tokensValue += (plant.served + plant.tail) * million *
      Math.pow(1 + x["discount-rate"], -((at + 1) / 12));
    deviceH += plant.deviceH;
    tailTokens += plant.tail * million;
    served += plant.served;
    possible += plant.possible;
    for (const key in parts) parts[key] += m[key];
  }
  if (hasPlant && bought) {
    for (let i = 0; i < n; i++) {
      const age = n - i, worth = devices[i] * price[i], open = cost.loan_months - age;
      if (age <= cost.life_months) {
        left += worth * (1 - (1 - x["residual-share"]) * Math.min(1, age / cost.life_months));
      }
      if (open > 0) left -= worth * x["financed-share"] * pay / annuity(rate, open);
    }
    npv -= left * Math.pow(1 + x["discount-rate"], -(n / 12));
  }
  return {
    npv_usd: npv,
    tokens_value: tokensValue,
    plant_tokens: served * demand.million_tokens_per_peak_h,
    tail_tokens: tailTokens,
    device_h: deviceH,
    used_device_h: possible > 0 ? deviceH * served / possible : 0,
    kwh, left_usd: left, paid_usd: paid, devices: mostDevices, cumulative, bought: boughtIn, parts,
  };
}

// Results of several models' plants, and what follows from their sums. See tw_cost_add.
function total(results) {
  const sum = {parts: {}, cumulative: [], bought: []};
  for (const r of results) {
    for (const key of ["npv_usd", "tokens_value", "plant_tokens", "tail_tokens", "device_h",
      "used_device_h", "kwh", "left_usd", "paid_usd", "devices"]) {
      sum[key] = (sum[key] || 0) + r[key];
    }
    for (const key in r.parts) sum.parts[key] = (sum.parts[key] || 0) + r.parts[key];
    for (const key of ["cumulative", "bought"]) {
      r[key].forEach((v, i) => { sum[key][i] = (sum[key][i] || 0) + v; });
    }
  }
  sum.usd_per_million_tokens = sum.tokens_value > 0 ? sum.npv_usd / sum.tokens_value : 0;
  sum.utilisation = sum.device_h > 0 ? sum.used_device_h / sum.device_h : 0;
  sum.kwh_per_million_tokens = sum.plant_tokens > 0 ? sum.kwh / sum.plant_tokens : 0;
  return sum;
}

// The months from which a has been paid less than b to the end, as tw_cost_break_even; null: never.
function breakEven(a, b) {
  let at = a.cumulative.length;
  while (at > 0 && a.cumulative[at - 1] < b.cumulative[at - 1]) at--;
  if (at === a.cumulative.length) return null;
  const before = (at > 0 ? a.cumulative[at - 1] - b.cumulative[at - 1] : 0) +
    a.bought[at] - b.bought[at];
  const after = a.cumulative[at] - b.cumulative[at];
  return before <= 0 ? at : at + before / (before - after);
}

if (typeof module !== "undefined") module.exports = {evaluate, total, breakEven};
