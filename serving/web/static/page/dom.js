// Builds elements. Text always becomes text nodes: the name of a file is never read as markup.

/** element("button", {type: "button", onclick}, "Text", child): properties, or attributes where a name has a dash. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role" || name === "for") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** A button that does not submit anything. */
export function button(text, onclick, properties = {}) {
  return element("button", { type: "button", onclick, ...properties }, text);
}

/** Returns bytes for people, as in "3.9 MB". */
export function formatBytes(bytes) {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** Returns a probability for people, as in "98.4 %". */
export function formatPercent(probability) {
  return `${(100 * probability).toFixed(1)} %`;
}

/** Lets the browser save a text or an image. */
export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
