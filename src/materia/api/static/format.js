// Numbers and times as people read them, the same everywhere.

const NOTHING = "–";
const MINUS = "−";

const signed = (text) => text.replaceAll("-", MINUS);

/** A number with four significant digits; very large and very small ones with an exponent. */
export function number(value, digits = 4) {
  if (value === null || value === undefined) return NOTHING;
  if (typeof value !== "number") return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 1e-3)) return signed(trimmed(value.toExponential(digits - 1)));
  if (Number.isInteger(value)) return signed(String(value));
  const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
  return signed(trimmed(value.toFixed(decimals)));
}

const trimmed = (text) => text.replace(/(\.\d*?)0+(?=e|$)/, "$1").replace(/\.(?=e|$)/, "");

/** A format for a whole column: one number of decimals, so that the digits line up. */
export function columnFormat(values) {
  const sizes = values.filter((value) => Number.isFinite(value) && value !== 0).map(Math.abs);
  const largest = Math.max(...sizes, 0);
  const smallest = Math.min(...sizes);
  const uneven = largest >= 1e6 || largest < 1e-3 || smallest / largest < 1e-4;
  if (!sizes.length || uneven) return (value) => number(value);
  const exact = [0, 1, 2, 3].find((places) => sizes.every((size) => Number(size.toFixed(places)) === size));
  const middle = sizes.sort((a, b) => a - b)[sizes.length >> 1];
  const decimals = exact ?? Math.min(6, Math.max(0, 3 - Math.floor(Math.log10(middle))));
  return (value) => (Number.isFinite(value) && value !== 0 ? signed(value.toFixed(decimals)) : number(value));
}

/** A span of time: 12 ms, 4.2 s, 3 min 20 s, 2 h 5 min, 3 d 4 h. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return NOTHING;
  if (seconds < 0.95) return `${Math.max(0, Math.round(seconds * 1000))} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const parts = whole < 3600 ? [[60, "min"], [1, "s"]] : whole < 86400 ? [[3600, "h"], [60, "min"]] : [[86400, "d"], [3600, "h"]];
  const [[large, largeName], [small, smallName]] = parts;
  const rest = Math.floor((whole % large) / small);
  return `${Math.floor(whole / large)} ${largeName}` + (rest ? ` ${rest} ${smallName}` : "");
}

/** How long ago something was. */
export function ago(text) {
  const seconds = (Date.now() - Date.parse(text)) / 1000;
  return seconds < 5 ? "just now" : `${duration(Math.floor(seconds)).split(" ").slice(0, 2).join(" ")} ago`;
}

/** Seconds from one time to another, or to now. */
export function between(start, end) {
  return start ? ((end ? Date.parse(end) : Date.now()) - Date.parse(start)) / 1000 : NaN;
}

export const clock = (text) => new Date(text).toLocaleTimeString([], { hour12: false });

/** A name with its unit: density (g/cm³). */
export const withUnit = (name, unit) => (unit ? `${name} (${unit})` : name);
