// The list of runs, asked for again every few seconds. All that comes is written as text.
(() => {
  const $ = (id) => document.getElementById(id);
  const score = (value) => (value === null ? "–" : Math.abs(value) <= 1 ? value.toFixed(3) : value.toFixed(2));
  const BADGES = { complete: "badge good", "not complete": "badge bad" };
  let before = "";
  const line = (one) => {
    const found = make("tr");
    const name = make("th");
    name.scope = "row";
    const link = make("a", "", one.name);
    link.href = `/run/${one.run}/${one.results && one.state !== "going on" ? "report.html" : ""}`;
    name.append(link, make("div", "quiet", one.tasks));
    const scores = make("td");
    for (const { task, value } of one.scores.slice(0, 4)) {
      const part = make("div", "nowrap");
      part.append(make("strong", "", score(value)), make("span", "quiet", ` ${task}`));
      scores.append(part);
    }
    if (one.scores.length > 4) scores.append(make("div", "quiet", `and ${one.scores.length - 4} more`));
    const state = make("td");
    state.append(make("span", BADGES[one.state] ?? "badge", one.state));
    found.append(name, make("td", "", one.model), scores, make("td", "number", one.samples?.toLocaleString("en") ?? ""),
      make("td", "nowrap quiet", one.started.replace("T", " ").slice(0, 16)), state);
    return found;
  };
  const look = async () => {
    try {
      const said = await (await fetch("/runs.json")).text();
      if (said !== before) {
        before = said;
        const runs = JSON.parse(said);
        $("runs").replaceChildren(...runs.map(line));
        $("count").textContent = `${runs.length} runs`;
      }
    } catch {
      $("count").textContent = "the server does not answer";
    }
    setTimeout(look, 3000);
  };
  look();
})();
