// A run that goes on, asked for again every two seconds. All that comes is written as text.
(() => {
  const $ = (id) => document.getElementById(id);
  const number = (value) => value.toLocaleString("en");
  const looks = []; // [time, answers, tokens] of the last ten looks
  const phase = (name, value) => {
    const found = make("div");
    found.append(make("dt", "", name), make("dd", "", value));
    return found;
  };
  const task = ({ task: name, done, failed, total }) => {
    const found = make("div");
    const head = make("div", "axis");
    head.append(make("span", "", name), make("span", "", `${number(done)} of ${total === null ? "?" : number(total)}${failed ? `, ${number(failed)} not measured` : ""}`));
    const bar = make("progress");
    bar.setAttribute("aria-label", name);
    if (total !== null) {
      bar.max = Math.max(1, total);
      bar.value = done;
    }
    found.append(head, bar);
    return found;
  };
  const show = (said) => {
    const done = said.progress.reduce((sum, one) => sum + one.done, 0);
    const totals = said.progress.map((one) => one.total);
    looks.push([performance.now() / 1000, done, said.tokens]);
    if (looks.length > 10) looks.shift();
    const [first, last] = [looks[0], looks[looks.length - 1]];
    const span = last[0] - first[0];
    const rate = span > 0 ? (last[1] - first[1]) / span : null;
    const left = rate && !totals.includes(null) ? (totals.reduce((sum, one) => sum + one, 0) - done) / rate : null;
    $("model").textContent = said.model;
    $("state").textContent = said.state;
    $("report").hidden = !said.results;
    const going = said.state === "going on";
    $("sums").replaceChildren(phase("answers", number(done)), phase("tokens", number(said.tokens)),
      ...(going && rate !== null ? [phase("answers/s", rate.toFixed(1)), phase("tokens/s", ((last[2] - first[2]) / span).toFixed(0))] : []),
      ...(going && left !== null && left > 0 ? [phase("left", left > 90 ? `${Math.round(left / 60)} min` : `${Math.round(left)} s`)] : []),
      ...(said.judgements ? [phase("judgements", number(said.judgements))] : []));
    $("failures").replaceChildren(...Object.entries(said.failures).flatMap(([kind, count]) => [make("dt", "", kind.replaceAll("_", " ")), make("dd", "", number(count))]));
    $("tasks").replaceChildren(...said.progress.map(task));
    $("latest").replaceChildren(...said.latest.map((one) => {
      const found = make("tr");
      const name = make("th", "", one.key);
      name.scope = "row";
      found.append(name, make("td", one.failed ? "quiet" : "", one.said), make("td", "quiet", one.target));
      return found;
    }));
    return going || !said.results;
  };
  const look = async () => {
    let more = true;
    try {
      const answer = await fetch("progress.json");
      if (answer.ok) more = show(await answer.json());
    } catch {
      $("state").textContent = "the server does not answer";
    }
    if (more) setTimeout(look, 2000);
  };
  look();
})();
