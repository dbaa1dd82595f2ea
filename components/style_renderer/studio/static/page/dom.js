// Builds elements. Text always becomes text nodes: a name is never read as markup.

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

export function button(text, onclick, properties = {}) {
  return element("button", { type: "button", onclick, ...properties }, text);
}

/** A button that opens the browser's dialog for files. */
export function fileButton(text, onfiles, properties = {}) {
  const { className = "", ...more } = properties;
  const input = element("input", { type: "file", accept: "image/*", hidden: true, "aria-label": text, ...more });
  input.onchange = () => {
    onfiles([...input.files]);
    input.value = "";
  };
  return element("span", {}, input, button(text, () => input.click(), { className }));
}

/** A slider with its name and what its value means; `onmove(value)` while it moves. */
export function slider(name, options, describe, onmove) {
  const input = element("input", { type: "range", id: `slider-${name.replaceAll(" ", "-")}`, ...options });
  const output = element("output", { htmlFor: input.id });
  const show = () => {
    output.value = describe(Number(input.value));
    input.setAttribute("aria-valuetext", output.value);
  };
  input.oninput = () => {
    show();
    onmove(Number(input.value));
  };
  show();
  const view = element("div", { className: "slider" }, element("label", { htmlFor: input.id }, name), output, input);
  return {
    view,
    set(value) {
      input.value = value;
      show();
    },
  };
}

export function choice(name, options, onchoose) {
  const select = element("select", { id: `choice-${name.replaceAll(" ", "-")}` });
  select.append(...Object.entries(options).map(([value, text]) => element("option", { value }, text)));
  select.onchange = () => onchoose(select.value);
  const view = element("div", { className: "choice" }, element("label", { htmlFor: select.id }, name), select);
  return { view, select, set: (value) => (select.value = value) };
}

/** Calls `act` once, when it was quiet for so many milliseconds. */
export function debounce(act, milliseconds) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(act, milliseconds);
  };
}
