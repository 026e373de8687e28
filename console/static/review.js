// The review page by keyboard. Without this file its forms do the same, one page at a time.
// What is entered while the console or its database is away stays in localStorage, and is sent
// again with the same act: an act that arrives twice counts once.
"use strict";

const card = document.getElementById("card");
const classifier = card.dataset.classifier;
const api = `/api/${encodeURIComponent(classifier)}/review`;
const pages = `/c/${encodeURIComponent(classifier)}/review`;
const store = `perennial-review-${classifier}-${card.dataset.person}`;
const RETRY = 3000;
const SHOWN = 10;
let labels = [];
let ahead = null;      // the next card as an element, or null while it is fetched
let fetching = null;
let done = [];         // acts of this page, newest last: {act, form}
let draining = null;   // the promise of the answers that are on their way

function say(text) { document.getElementById("said").textContent = text; }
function form() { return card.querySelector("form.review"); }
function field(name) { return form()?.elements.namedItem(name); }

// --- what waits in the browser ---------------------------------------------------------------

function kept() {
  try { return JSON.parse(localStorage.getItem(store)) ?? []; } catch { return []; }
}

function keep(entries) {
  if (entries.length) localStorage.setItem(store, JSON.stringify(entries));
  else localStorage.removeItem(store);
}

function tell() {
  const entries = kept();
  const note = document.getElementById("kept");
  note.hidden = !entries.length;
  const count = entries.length === 1 ? "1 answer is" : `${entries.length} answers are`;
  note.textContent = `The database does not answer. ${count} kept in this browser and sent later.`;
}

async function send(url, body) {
  const options = { method: "POST", headers: { "content-type": "application/json" } };
  return fetch(url, { ...options, body: JSON.stringify(body) });
}

function drain() {
  draining ??= sendKept().finally(() => { draining = null; tell(); });
  return draining;
}

async function sendKept() {
  try {
    while (kept().length) {
      const [first] = kept();
      const answer = await send(first.url, first.body);
      if (answer.status >= 500 || [401, 403, 429].includes(answer.status)) break;
      if (!answer.ok) say(await problem(answer));
      keep(kept().filter((entry) => entry.body.act !== first.body.act));
    }
  } catch { /* the console is away: the timer tries again */ }
}

async function problem(answer) {
  try { return (await answer.json()).error.message; } catch { return `status ${answer.status}`; }
}

// --- cards -----------------------------------------------------------------------------------

function parse(html) {
  const holder = document.createElement("template");
  holder.innerHTML = html;
  return holder.content.firstElementChild;
}

async function fetchCard(url) {
  const answer = await fetch(url);
  if (answer.redirected) location.reload();
  if (!answer.ok) throw new Error(await problem(answer));
  return parse(await answer.text());
}

/** Fetch the next card: neither the one on the page nor one whose answer is not sent yet. */
function fetchNext() {
  const items = [form()?.dataset.done ? null : form()?.dataset.item, ...kept().map((entry) => entry.item)];
  const besides = items.filter(Boolean).slice(0, 20).map((item) => `besides=${item}`).join("&");
  return fetchCard(`${pages}/card?${besides}`);
}

function prefetch() {
  ahead = null;
  fetching = fetchNext()
    .then((element) => { ahead = element; addReasons(element); })
    .catch(() => { ahead = null; });
}

/** Add what the card shows when it is known: the nearest phrases, and why the answer was given. */
function addReasons(element) {
  return Promise.all([addPart(element, "neighbours"), addPart(element, "why")]);
}

async function addPart(element, part) {
  if (!element.dataset.item) return;
  const answer = await fetch(`${pages}/${element.dataset.item}/${part}`);
  if (answer.status === 200) element.querySelector(`.${part}`).innerHTML = await answer.text();
}

function show(element) {
  card.replaceChildren(element);
  const typed = field("typed");
  if (typed) {
    typed.removeAttribute("list");
    typed.setAttribute("role", "combobox");
    typed.setAttribute("aria-controls", "found");
    typed.setAttribute("aria-expanded", "false");
  }
  card.querySelector(".phrase")?.focus();
}

async function advance() {
  if (!ahead) await fetching;
  if (!ahead) {
    try {
      ahead = await fetchNext();
      addReasons(ahead);
    } catch {
      show(parse('<p class="card" data-item="">The database does not answer. This page goes on by itself.</p>'));
      return;
    }
  }
  show(ahead);
  prefetch();
}

// --- answers ---------------------------------------------------------------------------------

function rank(name, text) {
  const tests = [name === text, name.startsWith(text), name.includes(text), name.includes(text.split(" ")[0])];
  const place = tests.indexOf(true);
  return place < 0 ? tests.length : place;
}

function find(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const scored = [];
  for (const label of labels) {
    const name = label.name.toLowerCase();
    const all = `${name} ${label.description.toLowerCase()}`;
    if (!words.length || !words.every((word) => all.includes(word))) continue;
    scored.push([rank(name, words.join(" ")), label]);
  }
  scored.sort((a, b) => a[0] - b[0]);
  return scored.slice(0, SHOWN).map((pair) => pair[1]);
}

function meant(choice) {
  if (choice === "none") return { kind: "none_of_these" };
  if (choice.startsWith("label:")) return { kind: "label", label: choice.slice("label:".length) };
  const typed = field("typed").value.trim();
  const reason = field("reason").value.trim();
  if (choice === "skip" || (!typed && reason)) {
    if (!reason) { field("reason").focus(); say("Write why you skip it, then press Enter."); return null; }
    return { kind: "skip", reason };
  }
  if (!typed) return { kind: "label", label: form().dataset.label };
  const chosen = card.querySelector(".found [aria-selected=true]");
  if (!chosen) { say(`No label matches “${typed}”.`); return null; }
  return { kind: "label", label: chosen.dataset.name };
}

async function choose(choice) {
  const current = form();
  const answer = current && meant(choice);
  if (!answer || current.dataset.done) return;
  const item = current.dataset.item;
  const body = { act: field("act").value, ...answer };
  const also = [...current.querySelectorAll("input[name=also]:checked")].map((box) => box.value);
  if (also.length && answer.kind !== "skip") {
    body.also = also;
    if (!await agreed(item, body)) return;
  }
  current.dataset.done = "yes";
  keep([...kept(), { url: `${api}/${item}/answer`, body, item }]);
  done.push({ act: body.act, form: current });
  offerUndo(body.act);
  say(`${body.label ?? (body.kind === "skip" ? "Skipped" : "None of these")}: ${current.querySelector(".phrase").textContent}`);
  count(answer.kind === "skip" ? 0 : -1);
  const sent = drain();
  if (!ahead) await sent;
  await advance();
}

function some(count, noun) { return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`; }

function unknown(counts) {
  return counts.unknown ? ` ${some(counts.unknown, "other phrase")} never came to the service: no label is stored.` : "";
}

async function agreed(item, body) {
  const what = body.label ?? "None of these";
  const dialog = document.getElementById("preview");
  let text = `${what} for ${some(body.also.length + 1, "phrase")}. The database does not answer: how many answers that concerns is not known.`;
  try {
    const answer = await send(`${api}/${item}/preview`, { also: body.also });
    const counts = await answer.json();
    if (answer.ok) text = `${what} for ${some(counts.phrases, "phrase")}, with ${counts.more ? "at least " : ""}${some(counts.answers, "logged answer")}. One label is stored per phrase.${unknown(counts)}`;
  } catch { /* the text says so */ }
  document.getElementById("preview-text").textContent = text;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

function count(change) {
  const shown = document.getElementById("waiting");
  const number = Number(shown.textContent.replaceAll(",", "")) + change;
  shown.textContent = Math.max(number, 0).toLocaleString("en");
}

function offerUndo(act) {
  const undo = document.getElementById("undo");
  undo.hidden = !act;
  undo.elements.namedItem("act").value = act ?? "";
}

async function undo() {
  const act = document.getElementById("undo").elements.namedItem("act").value;
  if (!act) { say("There is nothing to undo."); return; }
  await draining;
  const waiting = kept().find((entry) => entry.body.act === act);
  const mine = done.find((entry) => entry.act === act);
  if (waiting && mine) {
    keep(kept().filter((entry) => entry.body.act !== act));
    tell();
    back(mine.form, act);
    return;
  }
  try {
    const answer = await send(`${api}/undo`, { act });
    if (!answer.ok) { say(await problem(answer)); return; }
    const item = await answer.json();
    back(await fetchCard(`${pages}/${item.id}/card`), act);
  } catch { say("The database does not answer: nothing was undone."); }
}

function back(element, act) {
  const current = form();
  done = done.filter((entry) => entry.act !== act);
  offerUndo(done.at(-1)?.act);
  delete element.dataset.done;
  element.elements.namedItem("act").value = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random().toString(36).slice(2)}`;
  if (current) ahead = current;
  show(element);
  count(1);
  addReasons(element).catch(() => {});
  say("Undone.");
}

// --- finding a label -------------------------------------------------------------------------

function list() {
  const typed = field("typed");
  const found = card.querySelector(".found");
  const matches = find(typed.value);
  found.replaceChildren(...matches.map((label, place) => {
    const entry = document.createElement("li");
    entry.setAttribute("role", "option");
    entry.id = `found-${place}`;
    entry.dataset.name = label.name;
    entry.setAttribute("aria-selected", String(place === 0));
    entry.textContent = label.description ? `${label.name}: ${label.description}` : label.name;
    return entry;
  }));
  found.hidden = !matches.length;
  const text = typed.value.trim();
  if (text) say(matches.length ? "" : `No label matches “${text}”.`);
  typed.setAttribute("aria-expanded", String(matches.length > 0));
}

function move(step) {
  const entries = [...card.querySelectorAll(".found li")];
  const place = entries.findIndex((entry) => entry.getAttribute("aria-selected") === "true");
  const next = entries[Math.min(Math.max(place + step, 0), entries.length - 1)];
  entries.forEach((entry) => { entry.setAttribute("aria-selected", String(entry === next)); });
}

// --- keys ------------------------------------------------------------------------------------

function clearFields() {
  field("typed").value = "";
  field("reason").value = "";
  list();
  say("");
  card.querySelector(".phrase").focus();
}

function inField(event) {
  const name = event.target.name;
  if (event.key === "Escape") clearFields();
  else if (event.key === "Enter") choose(name === "reason" ? "skip" : "entered");
  else if (name === "typed" && event.key === "ArrowDown") move(1);
  else if (name === "typed" && event.key === "ArrowUp") move(-1);
  else return;
  event.preventDefault();
}

const KEYS = {
  "0": () => choose("none"),
  "enter": () => choose("entered"),
  "/": () => field("typed")?.focus(),
  "s": () => field("reason")?.focus(),
  "u": () => undo(),
  "n": () => {
    const nearest = card.querySelector("input[name=also]");
    if (nearest) nearest.focus();
    else say("No nearest phrases are known for this phrase yet.");
  },
  "?": () => { const keys = document.getElementById("keys"); keys.open = !keys.open; },
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
  if (document.getElementById("preview").open) return;
  const target = event.target;
  if (target.name === "typed" || target.name === "reason") { inField(event); return; }
  const onControl = target.matches("button, a, summary, input");
  if (onControl && (event.key === "Enter" || event.key === " ")) return;
  const button = card.querySelector(`button[data-key="${CSS.escape(event.key)}"]`);
  if (button && event.key !== "0") choose(button.value);
  else if (KEYS[event.key.toLowerCase()]) KEYS[event.key.toLowerCase()]();
  else if (/^\p{L}$/u.test(event.key) && form()) { field("typed").focus(); return; }
  else return;
  event.preventDefault();
});

card.addEventListener("input", (event) => { if (event.target.name === "typed") list(); });
card.addEventListener("click", (event) => {
  const entry = event.target.closest(".found li");
  if (entry) choose(`label:${entry.dataset.name}`);
});
card.addEventListener("submit", (event) => {
  event.preventDefault();
  choose(event.submitter?.value ?? "entered");
});
document.getElementById("undo").addEventListener("submit", (event) => {
  event.preventDefault();
  undo();
});

// --- start -----------------------------------------------------------------------------------

labels = [...document.querySelectorAll("#labels option")]
  .map((option) => ({ name: option.value, description: option.textContent.trim() }));
show(card.firstElementChild);
addPart(card.firstElementChild, "why").catch(() => {});
prefetch();
drain();
setInterval(async () => {
  if (kept().length) await drain();
  if (!form()) await advance();
}, RETRY);
window.addEventListener("online", drain);
