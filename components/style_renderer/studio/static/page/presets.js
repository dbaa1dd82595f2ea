// Settings under a name, and many images with the settings that are shown.

import { addImage, addJob, keepPreset, removePreset } from "./api.js";
import { button, choice, element, fileButton } from "./dom.js";

export class Presets {
  #presets = {};

  constructor(settings, complain) {
    this.settings = settings;
    this.chosen = choice("Preset", {}, (name) => this.#load(name));
    const name = element("input", { type: "text", id: "preset-name", maxLength: 80 });
    const act = (action) => action.catch((error) => complain(error.message));
    const keep = button("Save", () => {
      const request = settings.requestFor({ id: "" });
      if (!name.value.trim() || !request || settings.painted) {
        complain(settings.painted ? "A preset has no painted regions." : "Choose a style, and give the preset a name.");
        return;
      }
      if (Object.hasOwn(this.#presets, name.value.trim()) && !confirm(`Replace the preset ${name.value.trim()}?`)) return;
      act(keepPreset(name.value.trim(), request));
      name.value = "";
    });
    const remove = button("Delete", () => this.chosen.select.value && act(removePreset(this.chosen.select.value)));
    this.told = element("p", { className: "hint", role: "status" });
    this.view = element(
      "details",
      { className: "group" },
      element("summary", {}, "Presets and many images"),
      element(
        "div",
        { className: "form" },
        this.chosen.view,
        element("div", { className: "buttons" }, remove),
        element("div", { className: "field" }, element("label", { htmlFor: "preset-name" }, "Save as"), name),
        element("div", { className: "buttons" }, keep),
        element("p", { className: "hint" }, "Render many images with the settings above, one after the other:"),
        element(
          "div",
          { className: "buttons" },
          fileButton("Choose images", (files) => this.#renderAll(files), { multiple: true }),
          fileButton("Choose a folder", (files) => this.#renderAll(files), { webkitdirectory: true }),
        ),
        this.told,
      ),
    );
  }

  setPresets(presets) {
    this.#presets = presets;
    this.chosen.select.replaceChildren(
      element("option", { value: "" }, "None"),
      ...Object.keys(presets).map((name) => element("option", { value: name }, name)),
    );
  }

  #load(name) {
    if (this.#presets[name]) this.settings.load(this.#presets[name]);
  }

  async #renderAll(files) {
    if (this.settings.painted || !this.settings.requestFor({ id: "" })) {
      this.told.textContent = "Choose a style first; painted regions belong to one image.";
      return;
    }
    const images = files.filter((file) => file.type.startsWith("image/"));
    if (!images.length) {
      this.told.textContent = "There is no image among these files.";
      return;
    }
    const failed = [];
    let queued = 0;
    for (const file of images) {
      try {
        await addJob(this.settings.requestFor(await addImage(file)));
        queued += 1;
      } catch (error) {
        failed.push(error.message);
      }
      this.told.textContent = `${queued} of ${images.length} in the queue.`;
    }
    this.told.textContent = [`${queued} of ${images.length} in the queue.`, ...failed].join(" ");
  }
}
