// Numbers and times for people.

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const clockWithSeconds = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

export const NO_DATA = "no data";

/** 0.9423 -> "94.2 %" */
export const formatPercent = (value) => (value === null ? NO_DATA : `${(100 * value).toFixed(1)} %`);

/** Milliseconds -> "12.3 ms", "1.24 s" */
export function formatMilliseconds(value) {
  if (value === null) return NO_DATA;
  return value < 1000 ? `${value.toFixed(value < 100 ? 1 : 0)} ms` : `${(value / 1000).toFixed(2)} s`;
}

/** Requests a second -> "12.3 /s" */
export const formatRate = (value) => (value === null ? NO_DATA : `${value.toFixed(value < 100 ? 1 : 0)} /s`);

/** Bytes -> "812 MB" */
export function formatMemory(value) {
  if (value === null) return NO_DATA;
  return value < 1e9 ? `${Math.round(value / 1e6)} MB` : `${(value / 1e9).toFixed(2)} GB`;
}

/** The logarithm of an E-value -> "0.12", "25", "3.1e+7" */
export function formatEValue(log10) {
  if (log10 === null) return NO_DATA;
  if (log10 >= -2 && log10 < 5) return String(Number((10 ** log10).toPrecision(2)));
  return Math.abs(log10) < 300 ? (10 ** log10).toExponential(Number.isInteger(log10) ? 0 : 1) : `1e${Math.round(log10)}`;
}

/** 12345 -> "12,345" */
export const formatCount = (value) => value.toLocaleString("en-US");

/** Unix seconds -> "14:05", with seconds where `isFine`. */
export const formatTime = (seconds, isFine = false) => (isFine ? clockWithSeconds : clock).format(1000 * seconds);

/** 0.03214 -> "0.032" */
export const formatSize = (value) => (Math.abs(value) < 0.0005 ? "0" : value.toPrecision(2));
