// Choosing and dropping files: images, and folders at any depth.

import { button, element } from "./dom.js";

/** Returns the buttons "Choose images" and "Choose a folder"; `onFiles` gets [{file, name}]. */
export function makeFileButtons(onFiles, { multiple = true } = {}) {
  const images = makeInput({ multiple, accept: "image/*" }, onFiles);
  const chosen = button(multiple ? "Choose images" : "Choose an image", () => images.click(), { className: "primary" });
  if (!multiple || !("webkitdirectory" in images)) return [images, chosen];
  const folder = makeInput({ multiple, webkitdirectory: true }, onFiles);
  return [images, folder, chosen, button("Choose a folder", () => folder.click())];
}

function makeInput(properties, onFiles) {
  const input = element("input", { type: "file", hidden: true, ...properties });
  input.onchange = () => {
    onFiles([...input.files].map((file) => ({ file, name: file.webkitRelativePath || file.name })).sort(byName));
    input.value = ""; // so that the same file can be chosen again
  };
  return input;
}

/** Makes an element take dropped files and folders. */
export function acceptDrops(target, onFiles) {
  target.addEventListener("dragover", (event) => {
    event.preventDefault();
    target.classList.add("dragged-over");
  });
  target.addEventListener("dragleave", () => target.classList.remove("dragged-over"));
  target.addEventListener("drop", async (event) => {
    event.preventDefault();
    target.classList.remove("dragged-over");
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const plain = [...event.dataTransfer.files].map((file) => ({ file, name: file.name }));
    onFiles(entries.length ? (await Promise.all(entries.map(readEntry))).flat().sort(byName) : plain);
  });
}

async function readEntry(entry) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ file, name: entry.fullPath.slice(1) }];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    // Browsers give a folder in parts; an empty part is its end.
    const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!part.length) return found;
    for (const child of part) found.push(...(await readEntry(child)));
  }
}

function byName(one, other) {
  return one.name < other.name ? -1 : one.name > other.name ? 1 : 0;
}
