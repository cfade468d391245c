// Four endings of a tale, and what each costs: in all, by token or by byte.
const setup = (figure) => {
  const { texts, units } = figure.data;
  const costsOf = (row, by) => row.costs.map((cost, i) => cost / 100 / (row[by]?.[i] ?? 1));
  const lowest = (values) => values.indexOf(Math.min(...values));

  const add = (parent, tag, kind, text = "") => {
    const element = document.createElement(tag);
    element.className = kind;
    element.textContent = text;
    return parent.appendChild(element);
  };

  return ({ question, model, by }) => {
    const rows = figure.data.rows[model];
    const [stem, endings] = texts[question - 1];
    const row = rows[question - 1];
    const costs = costsOf(row, by);
    const chosen = lowest(costs);
    const most = Math.max(...costs);
    // The stage keeps the most room that it ever had, so that nothing below it jumps.
    if (!figure.stage.querySelector(".lt-still")) figure.stage.style.minHeight = `${figure.stage.offsetHeight}px`;
    figure.stage.replaceChildren();
    add(figure.stage, "p", "lt-stem", stem);
    endings.forEach((ending, i) => {
      const box = add(figure.stage, "div", `lt-ending ${i === chosen ? "lt-chosen" : ""}`);
      const text = add(box, "p", "lt-clamped", `${i + 1}. ${i === row.right ? "✓ " : ""}…${ending}`);
      text.title = ending;
      const bar = add(box, "div", "lt-cost");
      add(bar, "span", "lt-bar").style.width = `${(70 * costs[i]) / most}%`;
      const of = `${row.tokens[i]} tokens`;
      add(bar, "small", "", `${textOf(costs[i])} ${units[by]}, ${of}`);
    });
    const choices = rows.map((one) => lowest(costsOf(one, by)));
    return {
      costs, unit: units[by], chosen: chosen + 1, right: row.right + 1, n: rows.length,
      n_right: choices.filter((choice, i) => choice === rows[i].right).length,
      n_shortest: choices.filter((choice, i) => choice === lowest(rows[i].bytes)).length,
    };
  };
};
