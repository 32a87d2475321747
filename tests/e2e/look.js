// What a look at the page finds wrong: contrast, controls without names, ids that stand twice, width.
() => {
  const problems = [];
  const visible = (item) => item.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  const parse = (colour) => {
    const parts = colour.match(/[\d.]+/g).map(Number);
    // mixed colours come as color(srgb 0.9 0.8 0.7)
    return colour.startsWith("color(") ? parts.map((part, at) => (at < 3 ? part * 255 : part)) : parts;
  };
  const blend = (top, under) => { const a = top[3] ?? 1; return top.slice(0, 3).map((v, i) => v * a + under[i] * (1 - a)); };
  const ground = (item) => {
    const layers = [];
    for (let at = item; at; at = at.parentElement) layers.push(parse(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((under, layer) => blend(layer.length === 4 ? layer : [...layer, 1], under), [255, 255, 255]);
  };
  const light = (rgb) => rgb.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const walker = document.createTreeWalker(document.querySelector("gradio-app"), NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode()); ) {
    const item = node.parentElement;
    if (!node.textContent.trim() || !visible(item) || item.closest(".lg-hidden, [disabled], canvas, script, style")) continue;
    const under = ground(item);
    const [a, b] = [light(blend(parse(getComputedStyle(item).color), under)), light(under)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const needed = parseFloat(getComputedStyle(item).fontSize) >= 24 ? 3 : 4.5;
    if (ratio < needed) problems.push(`contrast ${ratio.toFixed(2)}: ${node.textContent.trim().slice(0, 40)}`);
  }
  for (const field of document.querySelectorAll("input, select, textarea")) {
    if (!visible(field)) continue;
    const named = field.labels?.length || field.getAttribute("aria-label") || field.getAttribute("aria-labelledby");
    if (!named) problems.push(`no label: ${field.outerHTML.slice(0, 90)}`);
  }
  for (const button of document.querySelectorAll("button, a")) {
    const name = button.textContent.trim() || button.getAttribute("aria-label") || button.title;
    if (visible(button) && !name) problems.push(`no name: ${button.outerHTML.slice(0, 90)}`);
  }
  const ids = [...document.querySelectorAll("gradio-app [id]")].map((item) => item.id);
  for (const id of new Set(ids.filter((one, at) => ids.indexOf(one) !== at))) problems.push(`id twice: ${id}`);
  if (document.querySelectorAll("h1").length !== 1) problems.push("not one h1");
  const wide = document.documentElement.scrollWidth - innerWidth;
  if (wide > 0) problems.push(`${wide} px too wide`);
  return problems;
}
