// Downloads a file of this site, telling how much is there.

/** The page's address; the worker lies in a folder below it. */
export const ROOT = new URL("../", self.location.href);

/** A file that could not be downloaded. */
export class DownloadError extends Error {}

/**
 * Returns the content as a Uint8Array.
 *
 * path: relative to the page. bytes: the size of the content, which a compressed transfer does not tell.
 */
export async function download(path, bytes, progress) {
  const response = await fetchFile(path);
  const content = new Uint8Array(bytes);
  let loaded = 0;
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (loaded + value.length > bytes) break;
    content.set(value, loaded);
    loaded += value.length;
    progress(loaded, bytes);
  }
  if (loaded !== bytes) throw new DownloadError(`${path} has another size than expected. Load the page again.`);
  return content;
}

async function fetchFile(path) {
  let response;
  try {
    response = await fetch(new URL(path, ROOT));
  } catch {
    throw new DownloadError(`${path} cannot be downloaded. Is the server still running?`);
  }
  if (!response.ok) throw new DownloadError(`${path} cannot be downloaded: the server answers ${response.status}.`);
  return response;
}
