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
  let decimals = exact ?? Math.min(6, Math.max(0, 3 - Math.floor(Math.log10(middle))));
  // Up to two digits more tell values apart that would look alike.
  const alike = (places) => new Set(sizes).size - new Set(sizes.map((size) => size.toFixed(places))).size;
  for (let more = 0; exact === undefined && more < 2 && decimals < 6 && alike(decimals); more += 1) decimals += 1;
  return (value) => (Number.isFinite(value) && value !== 0 ? signed(value.toFixed(decimals)) : number(value));
}

/** A value and its standard deviation, two digits of it, both to the same decimal: 241.2 ± 2.0. */
export function plusMinus(mean, std) {
  if (!Number.isFinite(std) || std <= 0 || Math.abs(mean) >= 1e6 || std < 1e-6) return `${number(mean)} ± ${number(std, 2)}`;
  const decimals = Math.max(0, 1 - Math.floor(Math.log10(Number(std.toPrecision(2)))));
  return `${signed(mean.toFixed(decimals))} ± ${std.toFixed(decimals)}`;
}

/** An amount of data: 812 B, 14.2 kB, 3.4 GB. */
export function bytes(amount) {
  if (!Number.isFinite(amount)) return NOTHING;
  const power = Math.min(4, amount < 1000 ? 0 : Math.floor(Math.log10(amount) / 3));
  const value = amount / 1000 ** power;
  return `${power && value < 99.95 ? value.toFixed(1) : Math.round(value)} ${["B", "kB", "MB", "GB", "TB"][power]}`;
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

/** The day of a time where the reader is: 2027-01-31. */
export const day = (text) => new Date(text).toLocaleDateString("sv");

export const clock = (text) => new Date(text).toLocaleTimeString([], { hour12: false });

/** The same with the zone, where it stands alone: 23:15:58 UTC. */
export const clockWithZone = (text) => new Date(text).toLocaleTimeString([], { hour12: false, timeZoneName: "short" });

/** The zone of all times that are shown. */
export const zone = () =>
  new Intl.DateTimeFormat([], { timeZoneName: "short" }).formatToParts(new Date()).find(({ type }) => type === "timeZoneName")?.value ?? "";

/** A name with its unit: density (g/cm³). */
export const withUnit = (name, unit) => (unit ? `${name} (${unit})` : name);
