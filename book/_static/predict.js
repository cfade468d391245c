// Covers what follows a question and would give its answer away, until the reader has answered: as
// many blocks of the page as the question says. A link into them shows them, and so does print.
(() => {
  "use strict";

  const cover = (question) => {
    const blocks = [];
    let next = question.closest("div.cell")?.nextElementSibling;
    for (; next && blocks.length < question.dataset.covers; next = next.nextElementSibling) blocks.push(next);
    if ("answered" in question.dataset || !blocks.length) return;

    const note = document.createElement("span");
    note.className = "lt-waits";
    note.textContent = "The result appears below once you answer.";
    question.querySelector(".lt-ask").append(note);

    const show = () => {
      for (const block of blocks) block.classList.remove("lt-covered");
      note.style.visibility = "hidden";
    };
    for (const block of blocks) {
      block.classList.add("lt-covered");
      block.addEventListener("lt-show", show);
    }
    new MutationObserver(show).observe(question, { attributeFilter: ["data-answered"] });
  };

  const showTarget = (hash) => {
    const target = hash.length > 1 && document.getElementById(decodeURIComponent(hash.slice(1)));
    const block = target && target.closest(".lt-covered");
    if (!block) return;
    block.dispatchEvent(new Event("lt-show"));
    target.scrollIntoView();
  };

  const begin = () => {
    document.querySelectorAll(".lt-predict[data-covers]").forEach(cover);
    showTarget(location.hash);
  };
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", begin);
  else begin();
  addEventListener("hashchange", () => showTarget(location.hash));
})();
