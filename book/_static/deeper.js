// Opens what is folded around the place that an address names, that a search has found, and all of
// it for print. Without this script a fold is opened by hand.
(() => {
  "use strict";

  // Where a section is folded itself, its fold is below the place that the address names.
  const foldOf = (target) => {
    const section = target.tagName === "SECTION" ? target : target.parentElement;
    const isHead = target === section || target.matches("span:empty");
    return isHead ? section.querySelector(":scope > details.lt-deeper") : null;
  };

  // Opens every fold around an element; whether one was shut.
  const openAround = (element) => {
    const shut = [];
    for (let up = element; up; up = up.parentElement) {
      if (up.matches("details:not([open])")) shut.push(() => (up.open = true));
      if (up.matches(".toggle-hidden") && up !== element)
        shut.push(() => up.querySelector(".toggle-button")?.click());
    }
    shut.forEach((open) => open());
    return shut.length > 0;
  };

  const openTarget = (hash) => {
    const target = hash.length > 1 && document.getElementById(decodeURIComponent(hash.slice(1)));
    if (target && openAround(foldOf(target) ?? target)) target.scrollIntoView();
  };

  // Sphinx marks what was searched for; the folds around it open, and the page stays where it is.
  const openFound = () => document.querySelectorAll("span.highlighted").forEach(openAround);

  const begin = () => {
    setTimeout(openFound, 20);  // Sphinx marks 10 ms after the page has been read
    openTarget(location.hash);
  };
  if (document.readyState === "complete") begin();
  else addEventListener("load", begin);
  addEventListener("hashchange", () => openTarget(location.hash));
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href*='#']");
    if (link && link.hash && link.href === location.href) openTarget(link.hash);
  });

  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const one of opened) one.open = true;
  });
  addEventListener("afterprint", () => {
    for (const one of opened) one.open = false;
  });
})();
