"""Moving a live figure in a browser as a reader would."""

from __future__ import annotations

# Puts the controls that are named at given values, and tells what the figure then says.
SET = """(figure, values) => {
  for (const input of figure.querySelectorAll("[data-name]")) {
    if (!(input.dataset.name in values)) continue;
    const value = values[input.dataset.name];
    const before = input.type === "checkbox" ? input.checked : input.value;
    if (input.dataset.stops)
      input.value = JSON.parse(input.dataset.stops).findIndex((one) => one === value);
    else if (input.type === "checkbox") input.checked = value;
    else if (input.tagName === "SELECT")  // Python writes 4.0 where JavaScript writes 4
      input.selectedIndex = [...input.options].findIndex((one) => JSON.parse(one.value) === value);
    else input.value = value;
    const after = input.type === "checkbox" ? input.checked : input.value;
    if (after !== before) input.dispatchEvent(new Event("input"));
  }
  return figure.numbers;
}"""


def said(figure, settings: list[dict]) -> list[dict]:
    """What the figure says at each of the settings, asked for in one call."""
    return figure.evaluate(
        f"(figure, all) => all.map((values) => ({SET})(figure, values))", settings
    )
