// What WCAG 2.2 AA asks of so small a page, as far as a program can tell: a list of sentences, empty where all is well.
() => {
  const faults = [];
  const root = document.documentElement;
  const fault = (text) => faults.push(text);

  if (!root.lang) fault("the page says no language");
  if (!document.title.trim()) fault("the page has no title");
  if (document.querySelectorAll("main").length !== 1) fault("there is not exactly one main landmark");
  if (document.querySelectorAll("h1").length !== 1) fault("there is not exactly one first heading");
  if (root.scrollWidth > root.clientWidth) fault(`it scrolls sideways: ${root.scrollWidth} of ${root.clientWidth} pixels`);
  let level = 0;
  for (const heading of document.querySelectorAll("h1,h2,h3,h4")) {
    const own = Number(heading.tagName[1]);
    if (own > level + 1) fault(`a heading is skipped before ${heading.textContent}`);
    level = own;
  }
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  if (new Set(ids).size !== ids.length) fault("an id is there twice");
  for (const section of document.querySelectorAll("section")) {
    if (!document.getElementById(section.getAttribute("aria-labelledby"))) fault("a section has no name");
  }
  for (const field of document.querySelectorAll("input:not([type=hidden]),select,textarea")) {
    if (!field.labels.length) fault(`a field has no label: ${field.name}`);
  }
  for (const set of document.querySelectorAll("fieldset")) {
    if (!set.querySelector("legend")?.textContent.trim()) fault("a group of buttons has no name");
  }
  for (const button of document.querySelectorAll("button")) {
    const box = button.getBoundingClientRect();
    if (!button.textContent.trim()) fault("a button has no name");
    if (box.width < 44 || box.height < 44) fault(`a button is too small: ${button.textContent}`);
    if (box.left < 0 || box.right > root.clientWidth) fault(`a button is cut off: ${button.textContent}`);
  }
  for (const forbidden of document.querySelectorAll("script,img,iframe,link,object,embed,base")) fault(`there is a ${forbidden.tagName}`);

  const rgb = (text) => text.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => ((c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (one) => {
    for (; one; one = one.parentElement) {
      const colour = rgb(getComputedStyle(one).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const contrast = (one, other) => {
    const [high, low] = [light(one), light(other)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (words.nextNode()) {
    const text = words.currentNode.textContent.trim();
    if (!text) continue;
    const holder = words.currentNode.parentElement;
    const found = contrast(rgb(getComputedStyle(holder).color), behind(holder));
    if (found < 4.5) fault(`contrast ${found.toFixed(1)} of: ${text.slice(0, 40)}`);
  }
  for (const button of document.querySelectorAll("button")) {
    const found = contrast(rgb(getComputedStyle(button).borderTopColor), behind(button.parentElement));
    if (found < 3) fault(`contrast ${found.toFixed(1)} of the border of: ${button.textContent}`);
  }
  return faults;
}
