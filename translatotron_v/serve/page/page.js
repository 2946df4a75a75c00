"use strict";
// One file for the whole page: no build step, no library, and no request to any other host.

const TEXTS = {
  en: {
    skip: "Skip to the content", pageLanguage: "Language of this page", chooseTitle: "Picture or PDF",
    dropHelp: "Drop a file here, paste one, or choose one.", choose: "Choose a file", settings: "Settings",
    from: "From", to: "To", system: "System", cancel: "Cancel", resultTitle: "Translation",
    glossary: "Glossary: one entry a line, word = translation; nothing behind = leaves the word",
    token: "Token of this service (then choose the file again)", savePicture: "Save the file", saveJson: "Save the JSON",
    previous: "Previous page", next: "Next page", slider: "Source at the left of the line, translation at its right",
    blocksTitle: "Blocks of text", editHelp: "Change a translation and press Enter: it is drawn again.",
    noEdit: "This service does not draw changed translations again.",
    noEditPages: "Translations can be changed on single pictures, not in PDFs, archives and files of several pages.",
    read: "Read", translation: "Translation of block", nothingRead: "(not read)",
    before: "The source picture", after: "The translated picture", block: "Block", asTrained: "as trained",
    sending: "Sending …", waiting: "Waiting for its turn …", running: "Translating, page {done} of {count} …",
    runningOne: "Translating …", done: "Done: {drawn} of {blocks} blocks translated.", cancelled: "Cancelled.",
    drawing: "Drawing again …", drawn: "Drawn again.", page: "Page {done} of {count}",
    failed: "That did not work: {reason}", lost: "The connection to the service was lost.",
    noTerms: "Glossary, line {line}: write word = translation.",
    own: "your words", sure: "sure", fair: "fairly sure", doubt: "doubtful: check it", left: "left as it was",
    "unreadable": "it cannot be read", "numbers and symbols": "only numbers and symbols", "no words": "no words were recognised",
    "another language": "it is in another language", "misdrawn": "what was drawn reads wrong", "doubtful": "too unsure to be drawn",
    "no room": "its translation has no room", "no text": "no text was given for it", "vertical": "letters below one another",
    "tilted": "it is tilted too far", "small": "its letters are too small",
  },
  de: {
    skip: "Zum Inhalt", pageLanguage: "Sprache dieser Seite", chooseTitle: "Bild oder PDF",
    dropHelp: "Datei hier ablegen, einfügen oder auswählen.", choose: "Datei auswählen", settings: "Einstellungen",
    from: "Von", to: "Nach", system: "System", cancel: "Abbrechen", resultTitle: "Übersetzung",
    glossary: "Glossar: ein Eintrag je Zeile, Wort = Übersetzung; nichts dahinter = Wort bleibt",
    token: "Token dieses Dienstes (danach die Datei noch einmal auswählen)", savePicture: "Datei speichern", saveJson: "JSON speichern",
    previous: "Vorige Seite", next: "Nächste Seite", slider: "Links der Linie die Vorlage, rechts die Übersetzung",
    blocksTitle: "Textblöcke", editHelp: "Übersetzung ändern und Eingabetaste drücken: sie wird neu gezeichnet.",
    noEdit: "Dieser Dienst zeichnet geänderte Übersetzungen nicht neu.",
    noEditPages: "Ändern lassen sich Übersetzungen einzelner Bilder, nicht die in PDF, Archiven und Dateien mit mehreren Seiten.",
    read: "Gelesen", translation: "Übersetzung von Block", nothingRead: "(nicht gelesen)",
    before: "Das Ausgangsbild", after: "Das übersetzte Bild", block: "Block", asTrained: "wie trainiert",
    sending: "Wird gesendet …", waiting: "Wartet, bis es an der Reihe ist …", running: "Wird übersetzt, Seite {done} von {count} …",
    runningOne: "Wird übersetzt …", done: "Fertig: {drawn} von {blocks} Blöcken übersetzt.", cancelled: "Abgebrochen.",
    drawing: "Wird neu gezeichnet …", drawn: "Neu gezeichnet.", page: "Seite {done} von {count}",
    failed: "Das ging nicht: {reason}", lost: "Die Verbindung zum Dienst ist abgerissen.",
    noTerms: "Glossar, Zeile {line}: Wort = Übersetzung schreiben.",
    own: "Ihre Worte", sure: "sicher", fair: "ziemlich sicher", doubt: "zweifelhaft: bitte prüfen", left: "unverändert gelassen",
    "unreadable": "nicht lesbar", "numbers and symbols": "nur Zahlen und Zeichen", "no words": "keine Wörter erkannt",
    "another language": "in einer anderen Sprache", "misdrawn": "das Gezeichnete liest sich falsch", "doubtful": "zu unsicher, um gezeichnet zu werden",
    "no room": "kein Platz für die Übersetzung", "no text": "kein Text dafür gegeben", "vertical": "Buchstaben untereinander",
    "tilted": "zu schräg", "small": "die Buchstaben sind zu klein",
  },
};
const SIGNS = { own: "✎", sure: "●", fair: "◐", doubt: "○", left: "–" };

const $ = (id) => document.getElementById(id);
const state = { info: null, file: null, job: null, answer: null, pages: [], page: 0, chosen: -1, urls: [], status: null, busy: false, run: 0, edited: new Set() };
let language = (navigator.language || "en").startsWith("de") ? "de" : "en";

function text(key, values = {}) {
  const template = TEXTS[language][key] ?? key;
  return template.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

function say(key, values = {}) {
  state.status = key && [key, values];
  $("status").textContent = key ? text(key, values) : "";
}

function complain(reason) {
  $("error").textContent = reason ? text("failed", { reason }) : "";
}

function localize() {
  document.documentElement.lang = language;
  $("page-language").value = language;
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = text(element.dataset.text);
  if (state.status) say(...state.status);
  for (const option of document.querySelectorAll("option[data-own]")) option.textContent = text("asTrained");
  if (!$("result").hidden) show();
}

// --- talking to the service ---

async function ask(path, options = {}) {
  const token = $("token").value;
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch {
    throw new Error(text("lost"));
  }
  if (answer.ok) return answer;
  if (answer.status === 401) $("token-row").hidden = false;
  let reason = `${answer.status}`;
  try {
    reason = (await answer.json()).reason || reason;
  } catch { /* no JSON: the status says it */ }
  throw new Error(reason);
}

async function* events(path) {
  // EventSource sends no token, so the stream is read here
  const reader = (await ask(path)).body.getReader();
  const decoder = new TextDecoder();
  let held = "";
  for (;;) {
    const { done, value } = await reader.read().catch(() => { throw new Error(text("lost")); });
    if (done) return;
    held += decoder.decode(value, { stream: true });
    const whole = held.split("\n\n");
    held = whole.pop();
    for (const one of whole) {
      const fields = Object.fromEntries(one.split("\n").map((line) => [line.split(":")[0], line.slice(line.indexOf(":") + 2)]));
      if (fields.event) yield { name: fields.event, data: JSON.parse(fields.data) };
    }
  }
}

async function inquire() {
  try {
    state.info = await (await ask("info")).json();
  } catch (error) {
    complain(error.message);
    return false;
  }
  const languages = state.info.languages;
  for (const [id, names] of [["from", languages], ["to", languages], ["system", state.info.systems]]) {
    const select = $(id);
    const options = names.map((name) => new Option(name, name));
    if (id !== "system") {
      const own = new Option(text("asTrained"), "");
      own.dataset.own = "";
      options.unshift(own);
    }
    select.replaceChildren(...options);
  }
  return true;
}

function terms() {
  const pairs = [];
  for (const [index, line] of $("glossary").value.split("\n").entries()) {
    if (!line.trim()) continue;
    const cut = line.indexOf("=");
    if (cut < 1) throw new Error(text("noTerms", { line: index + 1 }));
    pairs.push([line.slice(0, cut).trim(), line.slice(cut + 1).trim()]);
  }
  return pairs;
}

async function translate(file) {
  if (!file) return;
  const run = ++state.run;
  if (state.job) stop(state.job);
  state.job = null;
  complain("");
  $("result").hidden = true;
  $("running").hidden = false;
  $("progress").removeAttribute("value");
  say("sending");
  try {
    if (!state.info && !(await inquire())) throw new Error(text("lost"));
    const form = new FormData();
    form.append("file", file, "file");
    const pairs = terms();
    if (pairs.length) form.append("glossary", JSON.stringify(pairs));
    const query = new URLSearchParams({ previews: "true" });
    for (const id of ["from", "to", "system"]) if ($(id).value) query.set(id, $(id).value);
    const job = (await (await ask(`jobs?${query}`, { method: "POST", body: form })).json()).id;
    if (run !== state.run) return stop(job);
    state.job = job;
    for await (const event of events(`jobs/${job}/events`)) {
      if (run !== state.run) return;
      follow(event);
      if (event.name === "failed") throw new Error(event.data.reason);
      if (event.name === "cancelled") return say("cancelled");
    }
    await take(file, job);
  } catch (error) {
    if (run !== state.run) return;
    say(null);
    complain(error.message);
  } finally {
    if (run === state.run) $("running").hidden = true;
  }
}

function follow({ name, data }) {
  if (name === "waiting") say("waiting");
  if (name !== "progress") return;
  if (data.count > 1) {
    $("progress").max = data.count;
    $("progress").value = data.done;
    say("running", { done: Math.min(data.done + 1, data.count), count: data.count });
  } else {
    say("runningOne");
  }
}

function stop(job) {
  ask(`jobs/${job}`, { method: "DELETE" }).catch(() => {});
}

async function blobOf(path) {
  return (await ask(path)).blob();
}

async function take(file, job) {
  const told = await (await ask(`jobs/${job}`)).json();
  forget();
  state.file = file;
  state.answer = await blobOf(`jobs/${job}/file`);
  state.warnings = told.result.warnings;
  state.pages = told.result.pages;
  state.page = 0;
  state.chosen = -1;
  state.edited = new Set();
  state.pictures = state.pages.map(() => null);
  $("result").hidden = false;
  $("slider").value = 0;
  await turn(0);
  const blocks = state.pages.flatMap((page) => page.blocks || []);
  say("done", { drawn: blocks.filter((block) => !block.skip_reason).length, blocks: blocks.length });
  $("result-title").focus({ preventScroll: false });
}

function forget() {
  state.urls.forEach((url) => URL.revokeObjectURL(url));
  state.urls = [];
}

function urlOf(blob) {
  const url = URL.createObjectURL(blob);
  state.urls.push(url);
  return url;
}

async function turn(number) {
  state.page = number;
  state.chosen = -1;
  if (!state.pictures[number]) {
    const sides = ["source", "translation"].map((side) => blobOf(`jobs/${state.job}/pages/${number + 1}/${side}`));
    state.pictures[number] = (await Promise.all(sides)).map(urlOf);
  }
  show();
}

async function redraw(number, words) {
  const page = structuredClone(state.pages[0]);
  if (state.busy || page.blocks[number].text === words) return;
  page.blocks[number].text = words;
  state.busy = true;
  complain("");
  say("drawing");
  try {
    const form = new FormData();
    form.append("file", state.file, "file");
    form.append("answer", state.answer, "answer");
    form.append("page", JSON.stringify(page));
    const told = await (await ask("redraw?answer=json&picture=true", { method: "POST", body: form })).json();
    const bytes = Uint8Array.from(atob(told.file), (sign) => sign.charCodeAt(0));
    state.answer = new Blob([bytes], { type: told.type });
    state.pages = told.pages;
    state.warnings = told.warnings;
    state.edited.add(number);
    state.pictures[0][1] = urlOf(state.answer);
    show();
    say("drawn");
  } catch (error) {
    say(null);
    complain(error.message);
  } finally {
    state.busy = false;
  }
  $("blocks").querySelectorAll("li")[number]?.querySelector("textarea")?.focus();
}

// --- showing ---

function certainty(block, number) {
  if (block.skip_reason) return "left";
  if (state.edited.has(number)) return "own"; // the scores are of other words
  const { right, text: written = 1, image = 1 } = block.scores || {};
  if (right !== undefined) return right >= 0.8 ? "sure" : right >= 0.5 ? "fair" : "doubt";
  return written < 0.25 || image < 0.9 ? "doubt" : written < 0.6 ? "fair" : "sure";
}

function told(block, number) {
  const kind = certainty(block, number);
  if (kind === "left") return `${SIGNS.left} ${text("left")}${block.skip_reason === "left" ? "" : `: ${text(block.skip_reason)}`}`;
  const { right } = block.scores || {};
  return `${SIGNS[kind]} ${text(kind)}${right === undefined || kind === "own" ? "" : ` (${Math.round(100 * right)} %)`}`;
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function show() {
  const page = state.pages[state.page];
  const [before, after] = state.pictures[state.page];
  $("before").src = before;
  $("before").alt = text("before");
  $("after").src = after;
  $("after").alt = text("after");
  slide();
  const several = state.pages.length > 1;
  $("pager").hidden = !several;
  $("page-number").textContent = text("page", { done: state.page + 1, count: state.pages.length });
  $("previous").disabled = state.page === 0;
  $("next").disabled = state.page === state.pages.length - 1;
  const editable = state.info.redraw && !several && state.answer.type.startsWith("image/");
  $("edit-help").textContent = text(editable ? "editHelp" : state.info.redraw ? "noEditPages" : "noEdit");
  $("warnings").replaceChildren(...(state.warnings || []).map((line) => element("li", { textContent: line })));
  const blocks = page.blocks || [];
  $("boxes").replaceChildren(...blocks.map((block, number) => boxOf(block, number, page.size)));
  $("blocks").replaceChildren(...blocks.map((block, number) => entryOf(block, number, editable)));
  $("blocks").querySelectorAll("textarea").forEach(fit);
  const kind = (state.answer.type.split("/")[1] || "png").replace("vnd.comicbook+zip", "cbz").replace("jpeg", "jpg");
  $("save-picture").href = urlOf(state.answer);
  $("save-picture").download = `translation.${kind}`;
  const json = JSON.stringify({ pages: state.pages, warnings: state.warnings }, null, 1);
  $("save-json").href = urlOf(new Blob([json], { type: "application/json" }));
}

function boxOf(block, number, [width, height]) {
  const across = block.box.map(([x]) => x), down = block.box.map(([, y]) => y);
  const left = Math.max(0, Math.min(...across)), top = Math.max(0, Math.min(...down));
  const box = element("button", { type: "button", className: certainty(block, number) });
  box.setAttribute("aria-label", `${text("block")} ${number + 1}: ${block.text || block.source_text || text("nothingRead")}, ${told(block, number)}`);
  box.setAttribute("aria-pressed", String(number === state.chosen));
  box.title = told(block, number);
  box.style.left = `${(100 * left) / width}%`;
  box.style.top = `${(100 * top) / height}%`;
  box.style.width = `${(100 * (Math.min(width, Math.max(...across)) - left)) / width}%`;
  box.style.height = `${(100 * (Math.min(height, Math.max(...down)) - top)) / height}%`;
  box.addEventListener("click", () => choose(number, true));
  return box;
}

function entryOf(block, number, editable) {
  const read = element("p", { className: "read" }, `${number + 1}. ${text("read")}: `, element("q", { lang: block.language || "", textContent: block.source_text || text("nothingRead") }));
  const entry = element("li", { className: certainty(block, number), tabIndex: -1 }, read);
  if (!block.skip_reason || (editable && block.source_text)) {
    const area = element("textarea", { value: block.text || "", rows: Math.max(1, (block.text || "").split("\n").length), readOnly: !editable });
    area.setAttribute("aria-label", `${text("translation")} ${number + 1}`);
    area.addEventListener("focus", () => choose(number, false));
    area.addEventListener("input", () => fit(area));
    area.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      if (editable) redraw(number, area.value);
    });
    entry.append(area);
  }
  entry.append(element("p", { className: "mark", textContent: told(block, number) }));
  if (number === state.chosen) entry.classList.add("chosen");
  return entry;
}

// as high as its text
function fit(area) {
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight + area.offsetHeight - area.clientHeight}px`;
}

function choose(number, go) {
  state.chosen = number;
  [...$("boxes").children].forEach((box, index) => box.setAttribute("aria-pressed", String(index === number)));
  [...$("blocks").children].forEach((entry, index) => entry.classList.toggle("chosen", index === number));
  if (go) {
    const entry = $("blocks").children[number];
    (entry.querySelector("textarea") || entry).focus();
    entry.scrollIntoView({ block: "nearest" });
  }
}

function slide() {
  const share = $("slider").value;
  $("before").style.clipPath = `inset(0 ${100 - share}% 0 0)`;
  $("line").style.left = `${share}%`;
}

// --- what people do ---

$("file").addEventListener("change", () => { translate($("file").files[0]); $("file").value = ""; });
$("slider").addEventListener("input", slide);
$("cancel").addEventListener("click", () => { if (state.job) stop(state.job); });
$("previous").addEventListener("click", () => turn(state.page - 1).catch((error) => complain(error.message)));
$("next").addEventListener("click", () => turn(state.page + 1).catch((error) => complain(error.message)));
$("page-language").addEventListener("change", () => { language = $("page-language").value; localize(); });
$("token").addEventListener("change", inquire);
document.addEventListener("paste", (event) => {
  const file = [...(event.clipboardData?.files || [])][0];
  if (file) { event.preventDefault(); translate(file); }
});
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => { event.preventDefault(); $("drop").classList.add("over"); });
}
for (const name of ["dragleave", "drop"]) document.addEventListener(name, () => $("drop").classList.remove("over"));
document.addEventListener("drop", (event) => { event.preventDefault(); translate(event.dataTransfer.files[0]); });

window.addEventListener("resize", () => $("blocks").querySelectorAll("textarea").forEach(fit));

localize();
inquire();
