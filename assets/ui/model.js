// The Model step: shows the catalogue's rows that match what is typed and chosen above them.
"use strict";
(() => {
  const fields = () => [...document.querySelectorAll("#model-filter [data-narrow]")];

  // a row stays if it has every typed word, and one of the values of every chosen filter
  const keeps = (row, field) => {
    const wanted = field.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const has = row.dataset[field.dataset.narrow] ?? "";
    if (field.dataset.narrow === "words") {
      const said = `${has} ${row.querySelector("input").value} ${row.textContent}`.toLowerCase();
      return wanted.every((word) => said.includes(word));
    }
    return !wanted.length || wanted.some((word) => has.split(" ").includes(word));
  };

  function narrow() {
    const list = document.getElementById("model-rows");
    if (!list) return;
    const used = fields().filter((field) => field.value.trim());
    const rows = [...list.querySelectorAll(".lg-model")];
    const shown = rows.filter((row) => used.every((field) => keeps(row, field)));
    for (const row of rows) set(row, !shown.includes(row));
    set(list.querySelector(".lg-models-none"), shown.length > 0);
    set(document.getElementById("model-clear"), used.length === 0);
    say(document.getElementById("model-count"), shown.length, rows.length);
  }

  function set(item, hidden) {
    if (item && item.hidden !== hidden) item.hidden = hidden;
  }

  function say(place, shown, all) {
    const words = shown === all ? `${all} models` : `${shown} of ${all} models`;
    if (place && place.textContent !== words) place.textContent = words;
  }

  function clear() {
    for (const field of fields()) field.value = "";
    narrow();
    document.getElementById("model-search")?.focus();
  }

  // what was typed or chosen shows its first match
  function narrowed() {
    narrow();
    document.getElementById("model-rows")?.scrollTo(0, 0);
  }

  const ours = (event) => event.target.closest?.("#model-filter [data-narrow]");
  document.addEventListener("input", (event) => ours(event) && narrowed());
  document.addEventListener("click", (event) => event.target.closest?.("#model-clear") && clear());

  // the chosen model of a list that has just been opened stands in sight
  let opened = null;
  function reveal() {
    const list = document.querySelector("#model-list .lg-models");
    if (list === opened) return;
    opened = list;
    const chosen = list?.querySelector("input[checked]")?.closest(".lg-model");
    if (chosen) list.scrollTop = chosen.offsetTop - (list.clientHeight - chosen.offsetHeight) / 2;
  }

  // a new rendering of the list knows nothing of the filter; whatever it changed, the filter holds again
  const watch = () => {
    const list = document.getElementById("model-list");
    if (!list) return void requestAnimationFrame(watch);
    const what = { subtree: true, childList: true, characterData: true, attributeFilter: ["hidden", "data-words", "data-fit"] };
    const look = () => { narrow(); reveal(); };
    new MutationObserver(look).observe(list, what);
    look();
  };
  document.addEventListener("DOMContentLoaded", watch);
})();
