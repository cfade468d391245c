// Asks, lets the reader answer, and only then tells. The answer stands in the page's own fold, which
// this script empties into the verdict.

// The numbers that a text may mean, the likeliest first; none where it is no number. The unit, spaces
// and thousands separators may be typed along, and a comma or a dot may begin the decimals.
const readings = (text, unit) => {
  const bare = (words) => words.replace(/[\s_'’]/g, "").replace(/[−–]/g, "-").toLowerCase();
  let typed = bare(text).replace(/[×*x]10\^?(?=[-+]?\d)/, "e");
  if (unit && typed.endsWith(bare(unit))) typed = typed.slice(0, -bare(unit).length);
  const parts = typed.match(/^([-+]?)([\d.,]*\d[.,]?)(e[-+]?\d+)?$/);
  if (!parts) return [];
  const [, sign, digits, power = ""] = parts;
  const number = (mark) => {  // with this sign before the decimals
    const [whole, decimals = "", ...more] = mark ? digits.split(mark) : [digits];
    const groups = whole.split(/[.,]/);
    const even = groups.length === 1 || (/^[1-9]\d{0,2}$/.test(groups[0]) && groups.slice(1).every((g) => g.length === 3));
    const one = new Set(whole.match(/[.,]/g)).size < 2;
    return more.length || /[.,]/.test(decimals) || !even || !one ? NaN : Number(`${sign}${groups.join("") || 0}.${decimals || 0}${power}`);
  };
  const last = digits.match(/[.,](?=[^.,]*$)/)?.[0];
  const looksGrouped = /^[1-9]\d{0,2},\d{3}$/.test(digits);
  const found = last ? (looksGrouped ? [number(""), number(last)] : [number(last), number("")]) : [number("")];
  return found.filter(Number.isFinite);
};

const ask = (root) => {
  const [form, verdict, fold, guarded] = ["ask", "verdict", "answer", "guarded"]
    .map((kind) => root.querySelector(`:scope > .lt-${kind}`));
  const buttons = [...form.querySelectorAll("button")];
  const input = form.querySelector("input");
  const { answer, tolerance, unit } = fold.dataset;
  const right = fold.querySelector(".lt-is").textContent;
  const quoted = (text) => (input ? text : `“${text}”`);

  const say = (words) => {
    const line = document.createElement("p");
    line.textContent = words;
    verdict.replaceChildren(line);
  };

  const mark = (button, words, kind) => {
    const tag = document.createElement("span");
    tag.className = "lt-tag";
    tag.textContent = words;
    button.classList.add(kind);
    button.append(" ", tag);
  };

  // Tells, once: nothing that has the focus goes away, and the guess stays.
  const tell = (words) => {
    root.dataset.answered = "";
    for (const button of buttons) button.setAttribute("aria-disabled", "true");
    if (input) input.readOnly = true;
    const correct = buttons.find((button) => button.dataset.choice === answer);
    if (correct) mark(correct, "✓ answer", "lt-right");
    say(words);
    verdict.append(fold.querySelector(".lt-why"));
    guarded.hidden = false;
  };

  const judge = (isRight, guess) => {
    verdict.dataset.right = isRight;
    tell(isRight ? `Right: ${quoted(right)}.` : `Not quite: you said ${quoted(guess)}. It is ${quoted(right)}.`);
  };

  const check = () => {
    const numbers = readings(input.value, unit);
    if (!numbers.length) {
      const hint = `A number, please, such as 250 or 0.5${unit ? `; “${unit}” need not be typed` : ""}.`;
      say(input.value.trim() ? `“${input.value.trim()}” cannot be read as a number. ${hint}` : hint);
      input.focus();
      return;
    }
    const slack = 1e-9 * (Number(tolerance) + Math.abs(answer));
    judge(numbers.some((one) => Math.abs(one - answer) <= Number(tolerance) + slack), input.value.trim());
  };

  form.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button || "answered" in root.dataset) return;
    if (button.matches(".lt-show")) tell(`It is ${quoted(right)}.`);
    else if (button.matches(".lt-check")) check();
    else {
      const guess = button.textContent;
      if (button.dataset.choice !== answer) mark(button, "✗ your guess", "lt-wrong");
      judge(button.dataset.choice === answer, guess);
    }
  });
  form.addEventListener("keydown", (event) => {
    event.stopPropagation();  // JupyterLab's shortcuts
    if (event.key === "Enter" && event.target === input && !("answered" in root.dataset)) check();
  });

  fold.hidden = guarded.hidden = true;
  for (const one of [...buttons, input]) if (one) one.disabled = false;
};

for (const root of document.querySelectorAll(".lt-predict:not([data-ready])")) {
  root.dataset.ready = "";
  ask(root);
}
