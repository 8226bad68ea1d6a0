/** Narrow and unbreakable, between groups of digits and before a unit. */
const THIN = '\u202f';
const UNITS = ['', 'k', 'M', 'G', 'T', 'P', 'E', 'Z', 'Y'] as const;
const SATS_A_BTC = 100_000_000n;

/** A quantity in SI units, with three digits that count: `1.23 PH/s`. */
export function si(value: number, unit: string): string {
  if (!Number.isFinite(value)) return '–';
  let [scaled, at] = [Math.abs(value), 0];
  while (at < UNITS.length - 1 && Number(scaled.toPrecision(3)) >= 1000) {
    scaled = Number(scaled.toPrecision(3)) / 1000;
    at += 1;
  }
  const digits = scaled === 0 ? '0' : scaled < 1 ? scaled.toPrecision(2) : scaled.toPrecision(3);
  return `${value < 0 ? '−' : ''}${digits}${THIN}${UNITS[at]}${unit}`;
}

export function hashrate(hashesPerSecond: number): string {
  return si(hashesPerSecond, 'H/s');
}

/** Work, from its decimal digits. */
export function work(hashes: string | bigint | number): string {
  return si(Number(hashes), 'H');
}

/** Digits in groups of three. */
export function grouped(value: string | bigint | number): string {
  const text = String(value);
  const [, sign = '', whole = '', rest = ''] = /^(-?)(\d+)(\.\d+)?$/.exec(text) ?? ['', '', text];
  return `${sign === '-' ? '−' : ''}${whole.replaceAll(/\B(?=(?:\d{3})+(?!\d))/g, THIN)}${rest}`;
}

export function sats(value: string | bigint): string {
  return `${grouped(value)}${THIN}sat`;
}

/** The same amount in BTC, for whom sats are many. */
export function btc(value: string | bigint): string {
  const [amount, sign] = BigInt(value) < 0n ? [-BigInt(value), '−'] : [BigInt(value), ''];
  const rest = (amount % SATS_A_BTC).toString().padStart(8, '0');
  return `${sign}${grouped(amount / SATS_A_BTC)}.${rest}${THIN}BTC`;
}

/** @param digits after the point */
export function percent(ratio: number, digits = 1): string {
  return Number.isFinite(ratio) ? `${(ratio * 100).toFixed(digits)}${THIN}%` : '–';
}

const SPANS = [
  ['d', 86_400],
  ['h', 3_600],
  ['min', 60],
  ['s', 1],
] as const;

/** A time span by its two largest units: `3 h 12 min`. */
export function span(ms: number): string {
  let seconds = Math.max(0, Math.floor(ms / 1000));
  const parts: string[] = [];
  for (const [unit, size] of SPANS) {
    const count = Math.floor(seconds / size);
    seconds -= count * size;
    if (count > 0 || (unit === 's' && parts.length === 0)) parts.push(`${count}${THIN}${unit}`);
    else if (parts.length > 0) break;
    if (parts.length === 2) break;
  }
  return parts.join(' ');
}

/** How long ago; a dash for what never was. */
export function ago(atMs: number | null | undefined, nowMs: number): string {
  if (atMs === null || atMs === undefined || atMs === 0) return '–';
  return nowMs - atMs < 1000 ? 'now' : `${span(nowMs - atMs)} ago`;
}

const CLOCK = new Intl.DateTimeFormat(undefined, {
  ...{ hour: '2-digit', minute: '2-digit', second: '2-digit' },
  hourCycle: 'h23',
});
const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });

/** The time of day: `14:03:59`. */
export function clock(atMs: number): string {
  return CLOCK.format(atMs);
}

/** Day and time, in the words of the reader's language. */
export function instant(atMs: number): string {
  return DAY.format(atMs);
}

/** An id, by its ends. */
export function short(id: string): string {
  return id.length <= 16 ? id : `${id.slice(0, 8)}…${id.slice(-6)}`;
}

/** Prices as the market spells them. A day of 1 PH/s is 86.4 EH. */
export const PRICES = {
  'sat/PH/day': (msatPerEh: number) => (msatPerEh / 1000) * 86.4,
  'sat/TH/day': (msatPerEh: number) => (msatPerEh / 1000) * 0.0864,
  'BTC/EH/day': (msatPerEh: number) => (msatPerEh * 86_400) / 1e11,
  'msat/EH': (msatPerEh: number) => msatPerEh,
} as const satisfies Readonly<Record<string, (msatPerEh: number) => number>>;
export type PriceUnit = keyof typeof PRICES;

/** Of smaller rates, for the hashes of a test network. */
const SMALLER = ['TH', 'GH', 'MH', 'kH', 'H'] as const;
/** A price that is longer is said for a smaller rate. */
const PRICE_MOST = 1e10;

export function price(msatPerEh: string | number, unit: PriceUnit = 'sat/PH/day'): string {
  const value = PRICES[unit](Number(msatPerEh));
  if (unit === 'sat/PH/day' && value >= PRICE_MOST) {
    const at = SMALLER.findIndex((_unit, index) => value / 1000 ** (index + 1) < PRICE_MOST);
    const scaled = value / 1000 ** (at + 1);
    return at < 0 ? `${value.toPrecision(3)}${THIN}${unit}` : priceText(scaled, `sat/${SMALLER[at]}/day`);
  }
  return priceText(value, unit);
}

function priceText(value: number, unit: string): string {
  if (value >= 1e15) return `${value.toExponential(2)}${THIN}${unit}`;
  const digits = value === 0 || value >= 1000 ? 0 : value >= 10 ? 1 : value >= 0.1 ? 3 : 6;
  return `${grouped(value.toFixed(digits))}${THIN}${unit}`;
}

/** `not_authorized` as words. */
export function words(code: string): string {
  return code.replaceAll('_', ' ');
}
