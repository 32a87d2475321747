// The fit meter follows its sliders while they move; what they say is kept once they rest.
"use strict";
window.garage.fit = (element, trigger, watch, server) => {
  const REST_MS = 250;
  // slider id → the place it was moved to; until it is kept, a new rendering must not move it back
  const moved = new Map();
  let timer;
  let asking = false;
  let stale = false;

  const sliders = () => [...element.querySelectorAll("input[data-stops]")];
  const value = (slider) => JSON.parse(slider.dataset.stops)[Number(slider.value)];

  function say(slider) {
    const words = `${value(slider).toLocaleString("en-US")} ${slider.dataset.unit}`.trim();
    slider.setAttribute("aria-valuetext", words);
    slider.style.setProperty("--at", slider.max > 0 ? slider.value / slider.max : 0);
    const output = document.getElementById(slider.id + "-value");
    if (output) output.textContent = words;
  }

  // one question at a time; the newest position is asked about last
  async function preview() {
    stale = asking;
    if (asking) return;
    asking = true;
    try {
      const wanted = Object.fromEntries(sliders().map((slider) => [slider.dataset.knob, value(slider)]));
      const parts = await server.preview(wanted);
      for (const [id, html] of Object.entries(parts)) {
        const part = document.getElementById(id);
        if (part && moved.size) part.innerHTML = html;
      }
    } finally {
      asking = false;
    }
    if (stale) preview();
  }

  function keep() {
    clearTimeout(timer);
    const now = sliders().filter((slider) => moved.has(slider.id));
    moved.clear();
    for (const slider of now) trigger("edit", { name: slider.dataset.knob, value: String(value(slider)) });
  }

  element.addEventListener("input", (event) => {
    if (!event.target.matches("[data-stops]")) return;
    moved.set(event.target.id, event.target.value);
    say(event.target);
    preview();
    clearTimeout(timer);
    timer = setTimeout(keep, REST_MS);
  });
  // who goes on to a button means what the sliders say now
  document.addEventListener("pointerdown", (event) => !element.contains(event.target) && keep());
  element.addEventListener("focusout", keep);
  watch("value", () => {
    for (const slider of sliders()) {
      if (moved.has(slider.id)) slider.value = moved.get(slider.id);
      say(slider);
    }
  });
  sliders().forEach(say);
};
