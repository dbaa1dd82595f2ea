// Talks to the server. Whatever it rejects becomes an Error whose message is written for people.

async function send(method, path, body, headers) {
  let response;
  try {
    response = await fetch(path, { method, body, headers });
  } catch {
    throw new Error("The studio does not answer. Is `atelier studio` still running?");
  }
  const type = response.headers.get("content-type") ?? "";
  const answer = type.startsWith("application/json") ? await response.json() : { error: await response.text() };
  if (!response.ok) throw new Error(answer.error || `The studio answers ${response.status}.`);
  return answer;
}

const sendJson = (path, value = {}) => send("POST", path, JSON.stringify(value), { "Content-Type": "application/json" });
const sendFile = (path, values, file) =>
  send("POST", `${path}?${new URLSearchParams(values)}`, file, { "Content-Type": "application/octet-stream" });

export const addImage = (file, name = file.name) => sendFile("api/images", { name }, file);
export const describeImage = (id) => send("GET", `api/images/${id}`);
export const addStyle = (file, facts) => sendFile("api/styles", facts, file);
export const addJob = (request) => sendJson("api/jobs", request);
export const removeJob = (id) => send("DELETE", `api/jobs/${id}`);
export const control = (id, controls) => sendJson(`api/jobs/${id}/controls`, controls);
export const stop = (id) => sendJson(`api/jobs/${id}/stop`);
export const resume = (id) => sendJson(`api/jobs/${id}/resume`);
export const preview = (request) => sendJson("api/preview", request);
export const estimate = (request) => sendJson("api/estimate", request);
export const keepPreset = (name, request) => sendJson("api/presets", { name, request });
export const removePreset = (name) => send("DELETE", `api/presets?${new URLSearchParams({ name })}`);

export const imageView = (id) => `api/images/${id}/view`;
export const styleView = (id) => `api/styles/${id}/view`;
export const jobView = (job, small = false) => `api/jobs/${job.id}/view?v=${job.version}${small ? "&small" : ""}`;
export const jobDownload = (job) => `api/jobs/${job.id}/view?download`;

/** Calls `take(event)` for each event, and `lose()` when the connection is lost; the browser connects again. */
export function follow(take, lose) {
  const events = new EventSource("api/events");
  events.onmessage = (message) => take(JSON.parse(message.data));
  events.onerror = lose;
}
