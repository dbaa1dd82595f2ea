// What a job will be asked, as the page holds it; whoever shows a part of it is told when it changes.

export const DEFAULTS = {
  strength: 1,
  style_weight: 30,
  tv_weight: 6e-4,
  engine: "refined",
  size: 512,
  colors: "style",
};
export const MOST_STYLES = 4;

export class Settings {
  /** The image's facts from the server. */
  image = null;
  /** {id, weight} in the order in which they were chosen. */
  styles = [];
  /** Each style where its mask is painted, instead of a blend everywhere. */
  painted = false;
  /** Id of the uploaded mask by style id. */
  masks = {};
  values = { ...DEFAULTS };
  #listeners = [];

  onChange(listener) {
    this.#listeners.push(listener);
  }

  /** Tells what has changed: "image", "styles", "masks", "values" or "all". */
  changed(what) {
    for (const listener of this.#listeners) listener(what);
  }

  set(name, value) {
    this.values[name] = value;
    this.changed("values");
  }

  toggleStyle(id) {
    const there = this.styles.findIndex((style) => style.id === id);
    if (there >= 0) this.styles.splice(there, 1);
    else if (this.styles.length < MOST_STYLES) this.styles.push({ id, weight: 1 });
    this.changed("styles");
  }

  get controls() {
    const { strength, style_weight, tv_weight } = this.values;
    return { strength, style_weight, tv_weight };
  }

  /** The request of a job; null while an image, a style or all masks are missing. */
  get request() {
    return this.image && this.requestFor(this.image);
  }

  requestFor(image) {
    const regions = this.painted
      ? this.styles.filter(({ id }) => this.masks[id]).map(({ id }) => ({ styles: { [id]: 1 }, mask: this.masks[id] }))
      : [{ styles: Object.fromEntries(this.styles.map(({ id, weight }) => [id, weight])) }];
    const used = regions.flatMap((region) => Object.values(region.styles));
    return used.some((weight) => weight > 0) ? { image: image.id, regions, ...this.values } : null;
  }

  /** Takes over all settings of a request; the image's facts are given, if it is to change. */
  load(request, image = this.image) {
    this.image = image;
    this.painted = request.regions.some((region) => region.mask);
    this.styles = request.regions.flatMap((region) => Object.entries(region.styles).map(([id, weight]) => ({ id, weight })));
    this.masks = this.painted
      ? Object.fromEntries(request.regions.map((region) => [Object.keys(region.styles)[0], region.mask]))
      : {};
    for (const name of Object.keys(DEFAULTS)) this.values[name] = request[name] ?? DEFAULTS[name];
    this.changed("all");
  }
}
