// What went wrong, in a sentence for people: what it is, and what they can do.

import { EngineError } from "../model/client.js";

/** Returns what this browser lacks; null if models can run. */
export function findMissingFeature() {
  if (typeof WebAssembly !== "object") {
    return "This browser does not run WebAssembly, which the models need. Take a current Firefox, Chrome, Edge or Safari.";
  }
  if (typeof OffscreenCanvas !== "function" || typeof createImageBitmap !== "function") {
    return "This browser is too old for the page. Take a current Firefox, Chrome, Edge or Safari (16.4 or newer).";
  }
  return null;
}

/** Returns the sentence for an error of the worker. */
export function explain(error) {
  if (/memory|allocat/i.test(error.message) && error.kind !== "DownloadError") {
    return "There is not enough memory for the model. Close other tabs and load the page again.";
  }
  if (error instanceof EngineError && ["DownloadError", "UnusableImageError"].includes(error.kind)) return error.message;
  return `The model does not run in this browser: ${error.message}`;
}

/** Returns the sentence for a camera that cannot be used. */
export function explainCamera(error) {
  switch (error.name) {
    case "NotAllowedError":
      return "The browser does not allow the camera. Allow it for this page, then try again.";
    case "NotFoundError":
    case "OverconstrainedError":
      return "No camera was found on this device.";
    case "NotReadableError":
      return "Another program uses the camera. Close it, then try again.";
    default:
      return `The camera cannot be used: ${error.message}`;
  }
}
