"use strict";
// Shows the utterances. Texts only ever become text nodes, never markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const collator = new Intl.Collator(undefined, { numeric: true });
  const PAGE = 40;

  // Alignment ---------------------------------------------------------------------------------------------------------
  const split = (text) => (data.characters ? [...text.replaceAll(" ", "")] : text.split(" ").filter(Boolean));

  /** Align two lists of units with as few errors as possible: [kind, reference unit, hypothesis unit] each. */
  function align(reference, hypothesis) {
    const width = hypothesis.length + 1;
    const cost = new Uint32Array((reference.length + 1) * width);
    for (let j = 1; j < width; j++) cost[j] = j;
    for (let i = 1; i <= reference.length; i++) {
      cost[i * width] = i;
      for (let j = 1; j < width; j++) {
        const here = i * width + j;
        const swap = cost[here - width - 1] + (reference[i - 1] === hypothesis[j - 1] ? 0 : 1);
        cost[here] = Math.min(swap, cost[here - width] + 1, cost[here - 1] + 1);
      }
    }
    const steps = [];
    let i = reference.length;
    let j = hypothesis.length;
    while (i || j) {
      const here = i * width + j;
      const same = i && j && reference[i - 1] === hypothesis[j - 1];
      if (i && j && cost[here] === cost[here - width - 1] + (same ? 0 : 1)) {
        steps.push([same ? "c" : "s", reference[--i], hypothesis[--j]]);
      } else if (i && cost[here] === cost[here - width] + 1) {
        steps.push(["d", reference[--i], ""]);
      } else {
        steps.push(["i", "", hypothesis[--j]]);
      }
    }
    return steps.reverse();
  }

  const SPOKEN = { s: "substituted: ", d: "missing: ", i: "inserted: " };

  function make(tag, name, text) {
    const element = document.createElement(tag);
    if (name) element.className = name;
    if (text !== undefined) element.textContent = text;
    return element;
  }

  function difference(reference, hypothesis) {
    const shown = document.createDocumentFragment();
    const gap = data.characters ? "" : " ";
    for (const [kind, said, heard] of align(split(reference), split(hypothesis))) {
      if (kind === "c") {
        shown.append(said + gap);
        continue;
      }
      shown.append(make("span", "hidden", SPOKEN[kind]));
      if (kind !== "i") shown.append(make("del", kind, said));
      if (kind !== "d") shown.append(make("ins", kind, heard));
      shown.append(gap || "\u200b");
    }
    return shown;
  }

  // Utterances --------------------------------------------------------------------------------------------------------
  /** What a system recognised: 0 stands for the reference, n for what system n - 1 recognised. */
  function recognised(system, utterance) {
    const stored = data.h[system][utterance];
    if (stored === 0) return data.r[utterance];
    return typeof stored === "number" ? recognised(stored - 1, utterance) : stored;
  }

  function line(list, system, utterance) {
    const errors = data.e[system][utterance];
    const name = make("dt", "", data.systems[system]);
    name.append(" ", make("span", "count", errors === 1 ? "1 error" : `${errors} errors`));
    const text = make("dd");
    text.dir = "auto";
    text.append(difference(data.r[utterance], recognised(system, utterance)));
    list.append(name, text);
  }

  function card(utterance, system, other) {
    const item = make("li", "card");
    const head = make("header");
    const words = data.n[utterance];
    const unit = data.characters ? "characters" : "words";
    head.append(make("h3", "", data.ids[utterance]));
    if (data.speakers.length > 1) head.append(make("span", "", `speaker ${data.speakers[data.s[utterance]]}`));
    if (data.languages.length > 1) head.append(make("span", "", `language ${data.languages[data.l[utterance]]}`));
    head.append(make("span", "", `${data.e[system][utterance]} errors in ${words} ${unit}`));
    const source = data.audio[utterance];
    if (source) {
      const player = make("audio");
      player.controls = true;
      player.preload = "none";
      player.src = source;
      player.setAttribute("aria-label", `Recording of ${data.ids[utterance]}`);
      head.append(player);
    }
    item.append(head);
    if (pictures.has(utterance)) item.append(pictures.get(utterance).cloneNode());
    const list = make("dl", "lines");
    list.append(make("dt", "", "reference"), make("dd", "", data.r[utterance] || "(empty)"));
    line(list, system, utterance);
    if (other >= 0 && other !== system) line(list, other, utterance);
    item.append(list);
    const rest = data.systems.length - (other >= 0 && other !== system ? 2 : 1);
    if (rest > 0) item.append(others(utterance, system, other, rest));
    return item;
  }

  function others(utterance, system, other, rest) {
    const more = make("details");
    more.append(make("summary", "", rest === 1 ? "the other system" : `the other ${rest} systems`));
    more.addEventListener("toggle", () => {
      if (!more.open || more.children.length > 1) return;
      const list = make("dl", "lines");
      data.systems.forEach((_, n) => n !== system && n !== other && line(list, n, utterance));
      more.append(list);
    });
    return more;
  }

  const form = document.getElementById("filters");
  const cards = document.getElementById("cards");
  // The pictures stand in the page once: in the cards that readers without script see.
  const pictures = new Map([...cards.querySelectorAll("img.spectrogram")].map((i) => [Number(i.dataset.utterance), i]));
  const status = document.getElementById("status");
  const more = document.getElementById("more");
  let found = [];
  let shown = 0;

  const ORDERS = {
    errors: (s) => (u) => [data.e[s][u], data.n[u] ? data.e[s][u] / data.n[u] : 0],
    rate: (s) => (u) => [data.n[u] ? data.e[s][u] / data.n[u] : -1, data.e[s][u]],
    harmed: (s, o) => (u) => [data.e[s][u] - (o < 0 ? 0 : data.e[o][u]), data.e[s][u]],
    improved: (s, o) => (u) => [(o < 0 ? 0 : data.e[o][u]) - data.e[s][u], -data.e[s][u]],
  };

  function choose() {
    const system = Number(form.system.value);
    const other = Number(form.other.value);
    const speaker = Number(form.speaker?.value ?? -1);
    const language = Number(form.language?.value ?? -1);
    const wanted = form.text.value.trim().toLowerCase();
    const key = form.order.value === "id" ? null : ORDERS[form.order.value](system, other);
    found = [];
    data.ids.forEach((id, u) => {
      if (speaker >= 0 && data.s[u] !== speaker) return;
      if (language >= 0 && data.l[u] !== language) return;
      if (wanted && ![id, data.r[u], recognised(system, u)].some((t) => t.toLowerCase().includes(wanted))) return;
      found.push(u);
    });
    if (key) {
      const keys = found.map((u) => [...key(u), u]);
      keys.sort((a, b) => b[0] - a[0] || b[1] - a[1] || a[2] - b[2]);
      found = keys.map((entry) => entry[2]);
    } else {
      found.sort((a, b) => collator.compare(data.ids[a], data.ids[b]));
    }
    shown = 0;
    cards.replaceChildren();
    page();
  }

  function page() {
    const system = Number(form.system.value);
    const other = Number(form.other.value);
    const next = found.slice(shown, shown + PAGE);
    cards.append(...next.map((u) => card(u, system, other)));
    shown += next.length;
    more.hidden = shown >= found.length;
    const errors = found.reduce((sum, u) => sum + (data.n[u] ? data.e[system][u] : 0), 0);
    const units = found.reduce((sum, u) => sum + data.n[u], 0);
    const rate = units ? `, ${data.rate} ${((100 * errors) / units).toFixed(1)} % of ${data.systems[system]}` : "";
    status.textContent = `${shown} of ${found.length} utterances${rate}`;
    return next.length;
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", choose);
  let waiting = 0;
  form.text.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(choose, 150);
  });
  more.addEventListener("click", () => {
    const added = page();
    // The keyboard goes on where the new utterances begin.
    const first = cards.children[cards.children.length - added];
    if (first) {
      first.tabIndex = -1;
      first.focus();
    }
  });
  // Browsers keep what forms held when a page is loaded again.
  form.reset();
  choose();
})();
