// The page's own script: steps in the address, light and dark, fields and buttons inside panels, uploads.
"use strict";
window.garage = (() => {
  const STEPS = document.querySelector("meta[name=garage-steps]").content.split(" ");
  const root = document.documentElement;
  root.id = "lg";

  // ----- steps: the address says which one is open, so reload, back and second tabs just work
  const step = () => {
    const wanted = location.hash.slice(1);
    return STEPS.includes(wanted) ? wanted : STEPS[0];
  };

  function show(moveFocus) {
    root.dataset.step = step();
    name();
    for (const link of document.querySelectorAll("#nav a")) {
      if (link.hash === "#" + step()) link.setAttribute("aria-current", "step");
      else link.removeAttribute("aria-current");
    }
    if (!moveFocus) return;
    window.scrollTo(0, 0);
    requestAnimationFrame(() => document.getElementById("lg-head-" + step())?.focus({ preventScroll: true }));
  }
  root.dataset.step = step();

  // tabs, history and screen readers tell the steps apart by the title; Gradio sets its own when it starts
  function name() {
    const wanted = step()[0].toUpperCase() + step().slice(1) + " · LoRA Garage";
    if (document.title !== wanted) document.title = wanted;
  }

  function nav(element, trigger, event) {
    const open = (moveFocus) => {
      show(moveFocus);
      trigger(event, { step: step() });
    };
    window.addEventListener("hashchange", () => open(true));
    open(false);
  }

  // ----- light and dark: what was chosen, else what the system says
  const dark = () => (localStorage.getItem("lg-theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

  function paint() {
    root.classList.toggle("lg-dark", dark());
    if (document.body && document.body.classList.contains("dark") !== dark()) document.body.classList.toggle("dark", dark());
    for (const button of document.querySelectorAll("[data-theme-toggle]")) {
      const words = dark() ? "Light" : "Dark";
      if (button.textContent !== words) button.textContent = words;
      button.setAttribute("aria-label", "Switch to " + words.toLowerCase() + " colours");
    }
    window.dispatchEvent(new Event("garage:paint"));
  }
  paint();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  document.addEventListener("DOMContentLoaded", () => {
    paint();
    new MutationObserver(name).observe(document.head, { childList: true, subtree: true });
    // Gradio sets the class itself when it starts
    new MutationObserver(() => document.body.classList.contains("dark") !== dark() && paint()).observe(document.body, { attributeFilter: ["class"] });
  });

  // ----- panels: fields trigger `edit`, buttons trigger `act`; what was typed or unfolded survives a new rendering
  function bind(element, trigger, watch) {
    const folds = new Map();
    const ask = (event, what) => {
      root.classList.add("lg-asking");
      trigger(event, what);
    };
    element.addEventListener("change", (event) => {
      const field = event.target.closest("[data-name]");
      if (field) ask("edit", { name: field.dataset.name, value: field.type === "checkbox" ? field.checked : field.value });
      if (event.target.matches("[data-upload]")) upload(element, event.target.files, trigger);
      if (event.target.matches("[data-read]")) readFile(event.target, trigger);
    });
    // Enter in a field that a button takes presses the button
    element.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target.dataset.enter) document.getElementById(event.target.dataset.enter)?.click();
    });
    element.addEventListener("input", (event) => event.target.matches("[data-filter]") && filter(element, event.target));
    element.addEventListener("click", (event) => {
      const button = event.target.closest("[data-act]");
      if (!button || button.getAttribute("aria-busy") === "true") return;
      if (button.dataset.confirm && !confirm(button.dataset.confirm)) return;
      button.setAttribute("aria-busy", "true");
      if (button.dataset.shows) reveal(document.getElementById(button.dataset.shows));
      const from = button.dataset.from && document.getElementById(button.dataset.from);
      ask("act", { name: button.dataset.act, value: from ? from.value : (button.dataset.value ?? "") });
    });
    element.addEventListener("toggle", (event) => event.target.id && folds.set(event.target.id, event.target.open), true);
    dropZone(element, trigger);
    let focused = "";
    element.addEventListener("focusin", (event) => (focused = event.target.id));
    element.addEventListener("focusout", (event) => event.relatedTarget && (focused = ""));
    watch("value", () => {
      keepFocus(element, focused);
      for (const [id, open] of folds) {
        const fold = document.getElementById(id);
        if (fold && fold.open !== open) fold.open = open;
      }
      settle(element);
      stick(element);
      paint();
    });
  }

  // a conversation stays at its end, unless somebody reads further up
  const readers = new Map();
  document.addEventListener("scroll", ({ target }) => {
    if (!target.dataset || !("stick" in target.dataset)) return;
    const atEnd = target.scrollHeight - target.scrollTop - target.clientHeight < 40;
    readers.set(target.id, atEnd ? null : target.scrollTop);
  }, true);

  function stick(element) {
    for (const talk of element.querySelectorAll("[data-stick]")) talk.scrollTop = readers.get(talk.id) ?? talk.scrollHeight;
  }

  // a small file goes with the act itself: {name, text}
  async function readFile(field, trigger) {
    const file = field.files[0];
    if (!file) return;
    const text = file.size > Number(field.dataset.largest) ? null : await file.text();
    trigger("act", { name: field.dataset.read, value: { name: file.name, text } });
    field.value = "";
  }

  // a new rendering may take the focused button away, or make another one of it: Enter must not hit that
  function keepFocus(element, focused) {
    if (!focused || document.activeElement?.id === focused) return;
    const instead = element.querySelector("[data-focus]") ?? document.getElementById("lg-head-" + step());
    (document.getElementById(focused) ?? instead)?.focus({ preventScroll: true });
  }

  // the server has dealt with what was asked
  function answered() {
    root.classList.remove("lg-asking");
    for (const button of document.querySelectorAll("[data-act][aria-busy]")) button.removeAttribute("aria-busy");
  }

  // a field that was typed into no longer follows its attribute; the server's word counts
  function settle(element, evenHere) {
    for (const field of element.querySelectorAll(":is(input, select)[data-name]")) {
      if (field === document.activeElement && !evenHere) continue;
      if (field.type === "radio" || field.type === "checkbox") field.checked = field.hasAttribute("checked");
      else if (field.tagName === "SELECT") {
        const chosen = field.querySelector("option[selected]");
        if (chosen) field.value = chosen.value;
      } else field.value = field.getAttribute("value") ?? "";
    }
    for (const field of element.querySelectorAll("[data-filter]")) filter(element, field);
  }

  function filter(element, field) {
    const wanted = field.value.trim().toLowerCase();
    for (const item of element.querySelectorAll(field.dataset.filter))
      item.hidden = wanted !== "" && !item.textContent.toLowerCase().includes(wanted);
    for (const group of element.querySelectorAll(".lg-group"))
      group.hidden = !group.querySelector(field.dataset.filter + ":not([hidden])");
  }

  // ----- messages: why something could not be done; the fields go back to what holds
  function say(element, watch, props) {
    let timer;
    element.addEventListener("click", () => element.classList.remove("lg-shown"));
    document.addEventListener("keydown", (event) => event.key === "Escape" && element.classList.remove("lg-shown"));
    watch("value", () => {
      clearTimeout(timer);
      element.classList.toggle("lg-shown", Boolean(props.value));
      if (!props.value) return;
      timer = setTimeout(() => element.classList.remove("lg-shown"), 15000);
      for (const panel of document.querySelectorAll(".lg-step > *")) settle(panel, true);
    });
  }

  // ----- the card of choices: unfolded beside the step, a folded bar on a narrow screen
  function card(element, watch) {
    const wide = matchMedia("(min-width: 1100px)");
    let open = wide.matches;
    const apply = () => {
      const fold = element.querySelector("details");
      if (fold && fold.open !== open) fold.open = open;
      // beside the step there is nothing to unfold
      if (fold) fold.querySelector("summary").tabIndex = wide.matches ? -1 : 0;
    };
    wide.addEventListener("change", () => { open = wide.matches; apply(); });
    element.addEventListener("click", (event) => {
      if (event.target.closest("summary")) open = !element.querySelector("details").open;
      else if (event.target.closest("a") && !wide.matches) { open = false; apply(); }
    });
    watch("value", apply);
    apply();
  }

  // what a button changes elsewhere on the page comes into sight; the focus stays on the button
  function reveal(target) {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    target?.scrollIntoView({ block: "nearest", behavior: calm ? "instant" : "smooth" });
  }

  // ----- uploads go straight into the home folder, one file after the other, with progress
  async function upload(element, files, trigger) {
    const list = [...files];
    if (!list.length) return;
    const state = element.querySelector(".lg-upload");
    const say = (text, bad) => { state.textContent = text; state.classList.toggle("lg-bad", Boolean(bad)); };
    const names = [];
    try {
      for (const [place, file] of list.entries())
        names.push(await send(file, say, list.length > 1 ? ` (${place + 1} of ${list.length})` : ""));
      say(names.length === 1 ? names[0] + " is here." : names.length + " files are here.");
    } catch (problem) {
      say(problem.message, true);
    }
    if (names.length) trigger("act", { name: "uploaded", value: names });
  }

  function send(file, say, which) {
    return new Promise((done, failed) => {
      const request = new XMLHttpRequest();
      request.open("POST", "garage/upload?name=" + encodeURIComponent(file.name));
      request.upload.onprogress = (event) => event.lengthComputable && say("Taking " + file.name + which + ": " + Math.round((100 * event.loaded) / event.total) + " %");
      request.onload = () => {
        if (request.status === 200) done(JSON.parse(request.responseText).name);
        else failed(new Error(request.responseText || "The upload failed."));
      };
      request.onerror = () => failed(new Error("The upload was cut off, or the file is over the size limit. Is the app still running?"));
      say("Taking " + file.name + which);
      request.send(file);
    });
  }

  function dropZone(element, trigger) {
    const zone = (event) => event.target.closest?.(".lg-drop");
    element.addEventListener("dragover", (event) => { if (zone(event)) { event.preventDefault(); zone(event).classList.add("lg-over"); } });
    element.addEventListener("dragleave", (event) => zone(event)?.classList.remove("lg-over"));
    element.addEventListener("drop", (event) => {
      if (!zone(event)) return;
      event.preventDefault();
      zone(event).classList.remove("lg-over");
      upload(element, event.dataTransfer.files, trigger);
    });
  }

  // ----- small things that work everywhere
  document.addEventListener("click", async (event) => {
    const toggle = event.target.closest?.("[data-theme-toggle]");
    if (toggle) {
      localStorage.setItem("lg-theme", dark() ? "light" : "dark");
      paint();
    }
    const copy = event.target.closest?.("[data-copy]");
    if (copy) {
      await copyText(document.getElementById(copy.dataset.copy));
      copy.textContent = "Copied";
      setTimeout(() => (copy.textContent = "Copy"), 1500);
    }
  });

  async function copyText(source) {
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch {
      // without the clipboard's permission the text is at least selected for Ctrl-C
      getSelection().selectAllChildren(source);
    }
  }

  // ----- when the app goes away, say so; when it is back, load the page anew
  let missed = 0;
  async function alive() {
    if (document.hidden) return;
    try {
      await fetch("garage/alive", { cache: "no-store", signal: AbortSignal.timeout(4000) });
      if (missed >= 2) location.reload();
      missed = 0;
    } catch {
      missed += 1;
      if (missed === 2) gone();
    }
  }
  setInterval(alive, 3000);

  function gone() {
    root.classList.add("lg-away");
    const banner = document.createElement("div");
    banner.className = "lg-gone";
    banner.setAttribute("role", "alert");
    banner.textContent = "LoRA Garage is not running. A training goes on without it. Start the app again (python app.py) and this page comes back by itself.";
    document.body.prepend(banner);
  }

  return { step, nav, bind, answered, say, card, paint };
})();
