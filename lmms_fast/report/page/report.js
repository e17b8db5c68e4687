// The list of samples. Whatever comes out of the data is written as text (textContent), never as HTML.
(() => {
  const ROW = 58, AHEAD = 8, KEPT = 12, PER_BLOCK = 128;
  const $ = (id) => document.getElementById(id);
  const list = $("list"), rows = $("rows"), detail = $("detail"), samples = $("samples"), count = $("count");
  const choices = ["task", "group", "outcome", "rule", "sort"];
  const filters = Object.fromEntries([...choices, "text"].map((name) => [name, $(name)]));
  const SORTS = {
    data: "order of the data", lowest: "lowest score", highest: "highest score", slowest: "slowest", longest: "longest answer",
    shortest: "shortest answer", id: "id",
  };
  let table = null; // all samples, by columns
  let order = []; // numbers of those that are listed
  let at = -1; // place in `order` of the one that is shown
  let search = 0; // counts searches, so that an older one stops

  const words = (name) => name.replaceAll("_", " ");
  const number = (value) => value.toLocaleString("en");
  const score = (value) => (value === null || value === undefined ? "–" : String(Math.round(value * 1000) / 1000));

  // Blocks of data

  const bytes = (text) => (Uint8Array.fromBase64 ? Uint8Array.fromBase64(text)
    : Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)));
  const unpacked = (id) => {
    const stream = new Blob([bytes($(id).textContent)]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).json();
  };
  const kept = new Map();
  const chunk = async (id) => {
    const found = kept.get(id) ?? unpacked(`chunk-${id}`);
    kept.delete(id);
    kept.set(id, found);
    if (kept.size > KEPT) kept.delete(kept.keys().next().value);
    return found;
  };
  const details = async (sample) => (await chunk(Math.floor(sample / table.chunk)))[sample % table.chunk];
  const pictures = new Map();
  const picture = (id) => {
    const block = Math.floor(id / PER_BLOCK);
    if (id < 0) return null;
    if (!pictures.has(block)) pictures.set(block, ($(`pictures-${block}`)?.textContent ?? "").split("\n"));
    const found = pictures.get(block)[id % PER_BLOCK];
    return found ? `data:image/webp;base64,${found}` : null;
  };

  const value = (column, sample) => {
    const found = table.rows[column][sample];
    return table.names[column] ? table.names[column][found] : found;
  };
  const key = (sample) => `${value("task", sample)}/${value("id", sample)}#${value("repeat", sample)}`;

  // Which are listed

  const option = (text, chosen) => {
    const found = make("option", "", text);
    found.value = chosen;
    return found;
  };
  const fill = () => {
    for (const name of ["task", "outcome", "rule"]) {
      const counts = new Map();
      for (const one of table.rows[name]) counts.set(one, (counts.get(one) ?? 0) + 1);
      filters[name].append(option(`all ${name}s`, ""));
      table.names[name].forEach((text, id) => filters[name].append(
        option(`${name === "outcome" ? words(text) : text} (${number(counts.get(id) ?? 0)})`, text)));
    }
    filters.group.append(option("all categories", ""));
    for (const [column, { names, values }] of Object.entries(table.groups)) {
      const part = make("optgroup");
      part.label = column;
      const counts = new Array(names.length).fill(0);
      for (const one of values) if (one >= 0) counts[one] += 1;
      names.map((text, id) => [text, id]).sort((one, other) => one[0].localeCompare(other[0], "en", { numeric: true }))
        .forEach(([text, id]) => part.append(option(`${text} (${number(counts[id])})`, `${column}=${text}`)));
      filters.group.append(part);
    }
    for (const [name, text] of Object.entries(SORTS)) filters.sort.append(option(text, name));
  };

  const wanted = () => {
    const tests = [];
    for (const name of ["task", "outcome", "rule"]) {
      const id = table.names[name].indexOf(filters[name].value);
      if (filters[name].value) tests.push((sample) => table.rows[name][sample] === id);
    }
    const chosen = filters.group.value;
    const column = Object.keys(table.groups).find((name) => chosen.startsWith(`${name}=`));
    if (chosen && column !== undefined) {
      const { names, values } = table.groups[column];
      const id = names.indexOf(chosen.slice(column.length + 1));
      tests.push((sample) => values[sample] === id);
    }
    const found = [];
    for (let sample = 0; sample < table.n; sample += 1) if (tests.every((test) => test(sample))) found.push(sample);
    return found;
  };

  const by = (column, missing, sign) => (one, other) => {
    const [first, second] = [one, other].map((sample) => table.rows[column][sample] ?? missing);
    return sign * (first - second) || one - other;
  };
  const sorted = (found) => {
    const { id } = table.rows;
    const rules = {
      lowest: by("score", Infinity, 1), highest: by("score", -Infinity, -1), slowest: by("latency", -1, -1),
      longest: by("tokens", -1, -1), shortest: by("tokens", Infinity, 1),
      id: (one, other) => id[one].localeCompare(id[other], "en", { numeric: true }) || one - other,
    };
    const rule = rules[filters.sort.value];
    return rule ? found.sort((one, other) => { const sign = rule(one, other); return Number.isNaN(sign) ? one - other : sign; }) : found;
  };

  const holds = (content, needle) => {
    if (typeof content === "string") return content.toLowerCase().includes(needle);
    return content !== null && typeof content === "object" && Object.values(content).some((one) => holds(one, needle));
  };
  // Looks into the texts of all chunks, which are let go again.
  const searched = async (found, needle, mine) => {
    const hits = [];
    let opened = -1, content = null;
    for (const sample of found) {
      const id = Math.floor(sample / table.chunk);
      if (id !== opened) {
        content = await (kept.get(id) ?? unpacked(`chunk-${id}`));
        opened = id;
        if (mine !== search) return null;
        if (id % 16 === 15) count.textContent = `searching … ${number(hits.length)} found`;
      }
      const row = [value("id", sample), value("answer", sample), value("target", sample)];
      if (holds(row, needle) || holds(content[sample % table.chunk], needle)) hits.push(sample);
    }
    return hits;
  };

  const refresh = async (wish) => {
    search += 1;
    const mine = search;
    const needle = filters.text.value.trim().toLowerCase();
    const before = wish ?? (at >= 0 ? order[at] : undefined);
    let found = wanted();
    if (needle) found = await searched(found, needle, mine);
    if (found === null || mine !== search) return;
    order = sorted(found);
    count.textContent = order.length === table.n ? `${number(table.n)} samples` : `${number(order.length)} of ${number(table.n)} samples`;
    rows.style.height = `${order.length * ROW}px`;
    at = order.length ? Math.max(0, order.indexOf(before)) : -1;
    reveal();
    draw();
    await show();
    remember();
  };

  // The list

  const outcome = (name) => make("span", `outcome kind-${name.replace(/[^a-z_]/g, "")}`, words(name));
  const image = (id, kind) => {
    const source = picture(id);
    if (!source) return make("span", kind === "small" ? "blank" : "nopicture", kind === "small" ? "" : "picture (not in this file)");
    const found = make("img");
    found.src = source;
    found.alt = kind === "small" ? "" : "picture of the prompt";
    found.decoding = "async";
    return found;
  };
  const line = (place) => {
    const sample = order[place];
    const found = make("div", "row");
    found.id = `row-${place}`;
    found.role = "option";
    found.ariaSelected = String(place === at);
    found.ariaSetSize = String(order.length);
    found.ariaPosInSet = String(place + 1);
    found.style.top = `${place * ROW}px`;
    const middle = make("div");
    const answer = value("answer", sample), target = value("target", sample);
    const said = answer ?? (value("outcome", sample) === "no_answer" ? "no answer" : "");
    middle.append(make("p", "", value("prompt", sample) || value("id", sample)),
      make("p", "", [said, target && `expected ${target}`].filter(Boolean).join(" · ")));
    const end = make("div", "end");
    end.append(outcome(value("outcome", sample)), make("div", "", value("outcome", sample) === "graded" ? score(value("score", sample)) : ""));
    found.append(image(value("picture", sample), "small"), middle, end);
    return found;
  };
  const draw = () => {
    const first = Math.max(0, Math.floor(list.scrollTop / ROW) - AHEAD);
    const last = Math.min(order.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + AHEAD);
    rows.replaceChildren(...Array.from({ length: Math.max(0, last - first) }, (_, place) => line(first + place)));
    if (at >= first && at < last) list.setAttribute("aria-activedescendant", `row-${at}`);
    else list.removeAttribute("aria-activedescendant");
  };
  const reveal = () => {
    if (at * ROW < list.scrollTop) list.scrollTop = at * ROW;
    else if ((at + 1) * ROW > list.scrollTop + list.clientHeight) list.scrollTop = (at + 1) * ROW - list.clientHeight;
  };
  const go = async (place) => {
    if (!order.length) return;
    at = Math.min(order.length - 1, Math.max(0, place));
    reveal();
    draw();
    await show();
    remember();
  };

  // One sample

  const text = (content, kind) => make("div", kind ?? "text", content);
  const block = (title, ...content) => {
    const found = make("section", "block");
    found.append(make("h3", "", title), ...content);
    return found;
  };
  const folded = (title, ...content) => {
    const found = make("details", "fold");
    found.append(make("summary", "", title), ...content);
    return found;
  };
  const pairs = (entries) => {
    const found = make("dl", "pairs");
    for (const [name, content] of entries) found.append(make("dt", "", name), make("dd", "", content));
    return found;
  };
  const turns = (sample) => sample.turns.map(({ role, parts }) => {
    const found = make("div", "text turn");
    if (sample.turns.length > 1 || role !== "user") found.append(make("div", "role", role));
    for (const part of parts) {
      if (typeof part === "string") {
        found.append(make("span", "", part));
        continue;
      }
      found.append(image(part.picture, "large"));
      if (part.changed.length) found.append(make("div", "role", `sent changed: ${part.changed.join(", ")}`));
    }
    return found;
  });
  // Thinking that stands in the text is folded as that of the server's own field is.
  const response = (content) => {
    const found = [];
    let rest = content;
    for (let from = rest.indexOf("<think>"); from >= 0; from = rest.indexOf("<think>")) {
      const to = rest.indexOf("</think>", from);
      if (rest.slice(0, from).trim()) found.push(text(rest.slice(0, from)));
      found.push(folded("Reasoning in the answer", text(rest.slice(from, to < 0 ? undefined : to + 8))));
      rest = to < 0 ? "" : rest.slice(to + 8);
    }
    if (rest.trim() || !found.length) found.push(text(rest === "" ? "(empty)" : rest));
    return found;
  };
  const answered = (content) => {
    if (content.failure) {
      const { kind, detail: why, attempts } = content.failure;
      return [block("Not measured", text(`${kind}: ${why}`), pairs([["attempts", attempts]]))];
    }
    const said = content.response;
    const found = [];
    if (said.reasoning) found.push(folded(`Reasoning (${number(said.reasoning.length)} characters)`, text(said.reasoning)));
    found.push(...response(said.text));
    if (said.refusal) found.push(text(`refused: ${said.refusal}`));
    const { prompt_tokens: asked, completion_tokens: made } = said.usage;
    const facts = [`${score(said.latency_s)} s`, `${asked ?? "?"} + ${made ?? "?"} tokens`, `ended by ${said.finish_reason}`,
      said.attempts === 1 ? "" : `${said.attempts} attempts`, said.served_by].filter(Boolean);
    found.push(make("div", "role", facts.join(" · ")));
    return [block("Response", ...found)];
  };
  const judged = (judgements) => judgements.map(({ judge, rubric, reply, reasoning, failure, detail: why, ...rest }) => {
    const found = block(`Judge ${judge}, rubric ${rubric}`, text(reply ?? (failure ? `${failure}: ${why}` : "no reply")));
    if (reasoning) found.append(folded("The judge's reasoning", text(reasoning)));
    found.append(folded("More", pairs(Object.entries(rest))));
    return found;
  });

  const show = async () => {
    const sample = order[at];
    if (sample === undefined) {
      detail.replaceChildren(make("p", "quiet", "No sample fits these filters."));
      return;
    }
    const content = await details(sample);
    if (order[at] !== sample) return; // the reader has gone on
    const head = make("div", "bar");
    const back = make("button", "", "← List");
    back.id = "back";
    back.type = "button";
    back.addEventListener("click", () => close());
    const steps = make("div", "steps");
    for (const [name, step, keys] of [["Previous", -1, "k"], ["Next", 1, "j"]]) {
      const button = make("button", "", `${name} `);
      button.type = "button";
      button.disabled = at + step < 0 || at + step >= order.length;
      button.setAttribute("aria-keyshortcuts", keys);
      button.append(make("kbd", "", keys));
      button.addEventListener("click", async () => { await go(at + step); detail.querySelectorAll(".steps button")[step > 0 ? 1 : 0].focus(); });
      steps.append(button);
    }
    const repeat = value("repeat", sample);
    head.append(back, make("h2", "", value("id", sample)), make("span", "quiet", value("task", sample) + (repeat ? `, repeat ${repeat}` : "")),
      outcome(value("outcome", sample)), steps);
    const verdict = make("dl", "verdict");
    const fact = (name, text_) => {
      const found = make("div");
      found.append(make("dt", "", name), make("dd", "", text_));
      verdict.append(found);
    };
    const whole = content?.answer && content.answer.length > 80 && content.answer === content.response?.text.trim();
    fact("Extracted answer", whole ? "the whole response" : content?.answer ?? value("answer", sample) ?? "none");
    fact("Expected", content?.target?.join("\n") ?? (value("target", sample) || "not told"));
    fact("Score", score(value("score", sample)));
    fact("Rule", value("rule", sample));
    const found = [head, verdict];
    if (!content) found.push(make("p", "quiet", "There was no room for this sample's texts; they are in the samples file."));
    else {
      found.push(block("Prompt as sent", ...turns(content)), ...answered(content), ...judged(content.judgements ?? []));
      if (content.longer) found.push(folded(`Asked again with more room: ${words(content.longer.outcome)}`, ...answered(content.longer), ...judged(content.longer.judgements ?? [])));
      if (content.scorings) found.push(block("By other rules", pairs(Object.entries(content.scorings).map(([name, one]) => [name, `${score(one.score)} · ${one.answer ?? "none found"} (${one.rule})`]))));
      if (content.choices) found.push(block("Choices", pairs(content.choices.map((one, place) => [String.fromCharCode(65 + place), one]))));
      if (content.parts) found.push(block("Parts of the score", pairs(Object.entries(content.parts).map(([name, one]) => [name, score(one)]))));
      if (content.groups) found.push(block("Categories", pairs(Object.entries(content.groups))));
      if (content.facts) found.push(folded("What scoring knows beside", pairs(Object.entries(content.facts))));
    }
    detail.replaceChildren(...found);
    detail.scrollTop = 0;
    detail.setAttribute("aria-label", `Sample ${at + 1} of ${order.length}`);
  };
  const open = () => { samples.classList.add("open"); detail.focus(); };
  const close = () => { samples.classList.remove("open"); reveal(); draw(); list.focus(); };

  // Where the reader is stands in the address

  const remember = () => {
    if (samples.hidden) return;
    const said = new URLSearchParams();
    for (const [name, field] of Object.entries(filters)) if (field.value && !(name === "sort" && field.value === "data")) said.set(name, field.value);
    if (at > 0) said.set("at", key(order[at]));
    history.replaceState(null, "", `#samples${said.size ? `?${said}` : ""}`);
  };
  const arrive = async () => {
    const [view, said] = location.hash.slice(1).split("?", 2);
    const list_ = view === "samples";
    samples.hidden = !list_;
    $("overview").hidden = list_;
    document.querySelectorAll(".top nav a").forEach((link) => {
      if ((link.hash === "#samples") === list_) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    });
    if (!list_ || !table) return;
    const asked = new URLSearchParams(said ?? "");
    for (const [name, field] of Object.entries(filters)) {
      field.value = asked.get(name) ?? (name === "sort" ? "data" : "");
      if (field.value === "" && field.tagName === "SELECT") field.selectedIndex = 0;
    }
    const sought = asked.get("at");
    let wish = 0;
    while (sought && wish < table.n && key(wish) !== sought) wish += 1;
    await refresh(sought ? wish : undefined);
    list.focus({ preventScroll: true });
  };

  const typed = (event) => event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey;
  const KEYS = { j: 1, k: -1, ArrowRight: 1, ArrowLeft: -1 };
  document.addEventListener("keydown", (event) => {
    if (samples.hidden || !table) return;
    if (event.key === "Escape") {
      if (event.target === filters.text) list.focus();
      else if (samples.classList.contains("open")) close();
      return;
    }
    if (typed(event)) return;
    const page = Math.max(1, Math.floor(list.clientHeight / ROW) - 1);
    const far = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: order.length - 1 };
    if (event.key === "/") filters.text.focus();
    else if (event.key in KEYS) go(at + KEYS[event.key]);
    else if (event.target === list && event.key in far) go(far[event.key]);
    else if (event.target === list && event.key === "Enter") open();
    else return;
    event.preventDefault();
  });
  list.addEventListener("scroll", () => requestAnimationFrame(draw), { passive: true });
  list.addEventListener("click", async (event) => {
    const row = event.target.closest(".row");
    if (!row) return;
    await go(Number(row.id.slice(4)));
    if (getComputedStyle($("back")).display !== "none") open();
  });
  new ResizeObserver(() => { if (table) draw(); }).observe(list);
  let waiting = 0;
  filters.text.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => refresh(), 200); });
  for (const name of choices) filters[name].addEventListener("change", () => refresh());
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("clear").addEventListener("click", () => {
    for (const name of choices) filters[name].selectedIndex = 0;
    filters.text.value = "";
    refresh();
  });
  if (location.pathname.startsWith("/run/")) { // served by `lmms-fast view`
    const back = make("a", "", "All runs");
    back.href = "/";
    document.querySelector(".top nav").prepend(back);
  }
  addEventListener("hashchange", arrive);
  arrive();
  document.addEventListener("DOMContentLoaded", async () => {
    if (!("DecompressionStream" in window)) {
      count.textContent = "This browser is too old to unpack the samples.";
      return;
    }
    table = await unpacked("table");
    fill();
    samples.classList.toggle("unpictured", !table.rows.picture.some((id) => id >= 0));
    count.textContent = `${number(table.n)} samples`;
    document.documentElement.dataset.ready = "yes";
    await arrive();
  });
})();
