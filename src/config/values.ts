import { isIP } from 'node:net';
import { parsePostgresUrl, URL_EXAMPLE } from '../base/postgres-url.ts';
import { HASHES_PER_EH, MAX_SATS, SATS_PER_BTC } from '../base/units.ts';

/** Why a value was refused, as the end of a sentence that starts with the name of the option. */
export class Invalid {
  readonly why: string;
  constructor(why: string) {
    this.why = why;
  }
}

/**
 * What an option may be: a name for the reader and a parser from what TOML, the environment or a flag
 * carries.
 */
export type Kind<T> = { readonly name: string; readonly parse: (input: unknown) => T | Invalid };

export type HostPort = { readonly host: string; readonly port: number };

function show(input: unknown): string {
  return (typeof input === 'bigint' ? input.toString() : (JSON.stringify(input) ?? String(input))).slice(
    0,
    80,
  );
}

function expected(what: string, input: unknown): Invalid {
  return new Invalid(`must be ${what}, got ${show(input)}`);
}

/** A kind whose values are written as strings. */
function textKind<T>(
  name: string,
  what: string,
  parse: (text: string) => T | Invalid | undefined,
): Kind<T> {
  return {
    name,
    parse: (input) =>
      typeof input === 'string' ? (parse(input.trim()) ?? expected(what, input)) : expected(what, input),
  };
}

const DECIMAL = /^\d+(?:\.\d+)?$/;

/**
 * `digits` (a decimal such as "1.5", underscores may group) times `unit` as a fraction; undefined when it is
 * none.
 */
function product(
  digits: string,
  unit: bigint,
): { readonly top: bigint; readonly bottom: bigint } | undefined {
  const text = digits.replaceAll('_', '');
  if (!DECIMAL.test(text) || text.length > 60) return undefined;
  const [whole = '0', fraction = ''] = text.split('.');
  return { top: BigInt(whole + fraction) * unit, bottom: 10n ** BigInt(fraction.length) };
}

/** As `product`, floored. */
function scaled(digits: string, unit: bigint): bigint | undefined {
  const exact = product(digits, unit);
  return exact === undefined ? undefined : exact.top / exact.bottom;
}

/** "12.5 kH" -> ["12.5", "kH"]. */
function split(text: string): [digits: string, unit: string] | undefined {
  const match = /^([\d_.]+)\s*(\D.*)?$/.exec(text);
  return match === null ? undefined : [match[1]!, (match[2] ?? '').trim()];
}

function unitKind(name: string, what: string, units: Readonly<Record<string, bigint>>): Kind<bigint> {
  return textKind(name, what, (text) => {
    const parts = split(text);
    const unit = parts !== undefined && Object.hasOwn(units, parts[1]) ? units[parts[1]] : undefined;
    return parts === undefined || unit === undefined ? undefined : scaled(parts[0], unit);
  });
}

function toNumber(kind: Kind<bigint>): Kind<number> {
  return {
    name: kind.name,
    parse: (input) => {
      const value = kind.parse(input);
      if (value instanceof Invalid) return value;
      return value > BigInt(Number.MAX_SAFE_INTEGER) ? new Invalid('is too large') : Number(value);
    },
  };
}

/** Any text of one line. */
export const TEXT = textKind('text', 'text of 1 to 255 characters on one line', (text) =>
  /^[^\p{Cc}]{1,255}$/u.test(text) ? text : undefined,
);

/** A name that is used as a metric label and in file names. */
export const NAME = textKind('name', 'a name of 1 to 32 letters, digits, "-" or "_"', (text) =>
  /^[\w-]{1,32}$/.test(text) ? text : undefined,
);

export const BOOLEAN: Kind<boolean> = {
  name: 'boolean',
  parse: (input) => {
    if (typeof input === 'boolean') return input;
    if (input === 'true' || input === 'false') return input === 'true';
    return expected('true or false', input);
  },
};

export const INTEGER: Kind<number> = {
  name: 'integer',
  parse: (input) => {
    const text = typeof input === 'string' ? input.trim() : '';
    const value = /^-?\d{1,16}$/.test(text) ? Number(text) : input;
    return typeof value === 'number' && Number.isSafeInteger(value) ? value : expected('an integer', input);
  },
};

/** Fractions and exponents are allowed. */
export const POSITIVE: Kind<number> = {
  name: 'positive number',
  parse: (input) => {
    const text = typeof input === 'string' ? input.trim() : '';
    const value = /^\d+(?:\.\d+)?(?:e[+-]?\d+)?$/.test(text) ? Number(text) : input;
    const fits = typeof value === 'number' && Number.isFinite(value) && value > 0;
    return fits ? value : expected('a positive number', input);
  },
};

export function choice<const T extends string>(...names: readonly T[]): Kind<T> {
  const list = names.map((name) => JSON.stringify(name)).join(', ');
  return textKind(`one of ${list}`, `one of ${list}`, (text) => names.find((name) => name === text));
}

/** Milliseconds, from "250ms", "30s", "10m", "2h", "1d". */
export const DURATION: Kind<number> = toNumber(
  unitKind('duration', 'a duration such as "30s", "10m" or "2h"', {
    ms: 1n,
    s: 1000n,
    m: 60_000n,
    h: 3_600_000n,
    d: 86_400_000n,
  }),
);

const AMOUNT_EXAMPLE = 'an amount such as "12000 sat" or "0.01 BTC"';

/** Satoshis, from "12000 sat" or "0.01 BTC". A fraction of a satoshi is refused. */
export const AMOUNT: Kind<bigint> = textKind('amount', AMOUNT_EXAMPLE, (text) => {
  const parts = split(text);
  const unit = parts?.[1] === 'sat' ? 1n : parts?.[1] === 'BTC' ? SATS_PER_BTC : undefined;
  if (parts === undefined || unit === undefined) return undefined;
  const exact = product(parts[0], unit);
  if (exact === undefined) return undefined;
  if (exact.top % exact.bottom !== 0n) return new Invalid('must be a whole number of satoshis');
  const sats = exact.top / exact.bottom;
  return sats > MAX_SATS ? new Invalid('is more than all bitcoin there can be') : sats;
});

const HASH_UNITS: Readonly<Record<string, bigint>> = {
  H: 1n,
  kH: 10n ** 3n,
  MH: 10n ** 6n,
  GH: 10n ** 9n,
  TH: 10n ** 12n,
  PH: 10n ** 15n,
  EH: 10n ** 18n,
  ZH: 10n ** 21n,
};

/** Hashes, from "1 EH", "1.5 PH" or "500 kH". */
export const WORK: Kind<bigint> = unitKind(
  'work',
  'an amount of hashes such as "1 EH" or "500 TH"',
  HASH_UNITS,
);

/** Hashes per second, from "5 PH/s" or "500 TH/s". */
export const HASHRATE: Kind<bigint> = unitKind(
  'hashrate',
  'a hashrate such as "5 PH/s" or "500 TH/s"',
  Object.fromEntries(Object.entries(HASH_UNITS).map(([unit, hashes]) => [`${unit}/s`, hashes])),
);

const MSAT_UNITS: Readonly<Record<string, bigint>> = { msat: 1n, sat: 1000n, BTC: 1000n * SATS_PER_BTC };
const SECONDS_PER_DAY = 86_400n;

const SECONDS_OF: Readonly<Record<string, bigint>> = {
  s: 1n,
  second: 1n,
  min: 60n,
  minute: 60n,
  h: 3_600n,
  hour: 3_600n,
  d: SECONDS_PER_DAY,
  day: SECONDS_PER_DAY,
};

/** The hashes that a price is for: of "EH", "PH/day" or, after "per", "60 TH/min". */
function pricedHashes(count: string, unit: string, time: string | undefined): bigint | undefined {
  const seconds = time === undefined ? 1n : Object.hasOwn(SECONDS_OF, time) ? SECONDS_OF[time]! : 0n;
  if (!Object.hasOwn(HASH_UNITS, unit) || seconds === 0n) return undefined;
  return scaled(count, HASH_UNITS[unit]! * seconds);
}

/** A price as it was said: `msat / hashes` per hash, exactly. */
export type SaidPrice = {
  readonly msat: bigint;
  readonly hashes: bigint;
  /** The hashrate of a price such as "30 sats per 60 TH/min", hashes per second. */
  readonly hashesPerSecond: bigint | undefined;
};

const PRICE_EXAMPLES = 'a price such as "46000 sat/PH/day" or "520 sat/EH"';

/** As `PRICE`, and not rounded. */
export const SAID_PRICE: Kind<SaidPrice> = textKind('price', PRICE_EXAMPLES, (text) => {
  const short = /^([\d_.]+)\s*(msat|sat|BTC)s?\s*\/\s*([A-Za-z]+)(?:\s*\/\s*(day))?$/.exec(text);
  const long = /^([\d_.]+)\s*(msat|sat|BTC)s?\s+per\s+([\d_.]+)?\s*([A-Za-z]+)(?:\s*\/\s*([a-z]+))?$/.exec(
    text,
  );
  const [, digits = '', coin = ''] = short ?? long ?? [];
  const unit = short?.[3] ?? long?.[4] ?? '';
  const time = short?.[4] ?? long?.[5];
  const hashes = pricedHashes(long?.[3] ?? '1', unit, time) ?? 0n;
  const amount = product(digits, MSAT_UNITS[coin] ?? 0n);
  if (hashes === 0n || amount === undefined) return undefined;
  if (time === undefined && unit !== 'EH') {
    const work = `${unit} alone is work, which is priced as "sat/EH"`;
    return new Invalid(`lacks "/day": ${work}; for hashrate write "${text}/day"`);
  }
  const isOfRate = long?.[3] !== undefined && time !== undefined;
  const hashesPerSecond = isOfRate ? scaled(long[3]!, HASH_UNITS[unit]!) : undefined;
  return { msat: amount.top, hashes: hashes * amount.bottom, hashesPerSecond };
});

/** Millisatoshis per EH of a price, floored. */
export function msatPerEh({ msat, hashes }: SaidPrice): bigint {
  return (msat * HASHES_PER_EH) / hashes;
}

/**
 * Millisatoshis per EH, floored, from a price of work ("520 sat/EH", "520000 msat/EH"), of hashrate over time
 * ("46000 sat/PH/day": 46,000 sat for 1 PH/s kept up for a day, which is 86.4 EH), or in words ("30 sats per
 * 60 TH/min": 60 TH/s kept up for a minute). Work is priced by the EH alone: whoever writes "sat/PH" nearly
 * always means a day of it, and would be wrong by 86,400 times.
 */
export const PRICE: Kind<bigint> = {
  name: 'price',
  parse: (input) => {
    const said = SAID_PRICE.parse(input);
    if (said instanceof Invalid) return said;
    const price = msatPerEh(said);
    return price === 0n ? new Invalid('comes to less than 1 msat per EH') : price;
  },
};

/** Satoshis per 1000 virtual bytes, from "5 sat/vB" or "1100 sat/kvB". */
export const FEE_RATE: Kind<number> = toNumber(
  unitKind('fee rate', 'a fee rate such as "5 sat/vB"', { 'sat/vB': 1000n, 'sat/kvB': 1n }),
);

function parseHostPort(text: string): HostPort | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]{1,253})):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  return match === null || port > 65_535 ? undefined : { host: (match[1] ?? match[2])!, port };
}

/** Where to listen; port 0 takes any free port. */
export const LISTEN = textKind(
  'listen address',
  'host:port such as "127.0.0.1:3333" or "[::1]:3333"',
  parseHostPort,
);

/** Where to connect. */
export const ENDPOINT = textKind('host:port', 'host:port such as "maker.example:7333"', (text) => {
  const parsed = parseHostPort(text);
  return parsed === undefined || parsed.port === 0 ? undefined : parsed;
});

export type StratumUrl = HostPort & { readonly secure: boolean };

const STRATUM_SCHEMES: Readonly<Record<string, boolean>> = {
  'stratum+tcp': false,
  'stratum+ssl': true,
  'stratum+tls': true,
};

/** A Stratum v1 server, over plain TCP or TLS. */
export const STRATUM_URL: Kind<StratumUrl> = textKind(
  'Stratum URL',
  '"stratum+tcp://host:port" or, with TLS, "stratum+ssl://host:port"',
  (text) => {
    const match = /^([a-z+0-9]+):\/\/(.*)$/.exec(text);
    const scheme = match?.[1] ?? '';
    if (match === null || !Object.hasOwn(STRATUM_SCHEMES, scheme)) return undefined;
    const address = ENDPOINT.parse(match[2]!.replace(/\/$/, ''));
    return address instanceof Invalid ? undefined : { ...address, secure: STRATUM_SCHEMES[scheme]! };
  },
);

/** An HTTP address without credentials: those belong into a file. */
export const HTTP_URL = textKind('URL', 'an address such as "http://127.0.0.1:8332"', (text) => {
  const url = /^https?:\/\//.test(text) ? URL.parse(text) : null;
  if (url === null) return undefined;
  const bare = url.username === '' && url.password === '';
  return bare
    ? text.replace(/\/$/, '')
    : new Invalid('must not carry a password; use user and password_file');
});

/** Where a PostgreSQL is: a password belongs into a file. */
export const POSTGRES_URL = textKind('PostgreSQL URL', `an address such as ${URL_EXAMPLE}`, (text) =>
  parsePostgresUrl(text) === undefined ? undefined : text,
);

/** Lower-case hex of exactly `size` bytes, or of 1 to 10,000 bytes. */
export function hex(size?: number): Kind<string> {
  const what = size === undefined ? 'an even number of hex digits' : `${size * 2} hex digits`;
  return textKind(what, what, (text) => {
    const even = /^(?:[0-9a-fA-F]{2}){1,10000}$/.test(text);
    return even && (size === undefined || text.length === size * 2) ? text.toLowerCase() : undefined;
  });
}

/** The version bits that anybody may roll. */
const BIP323_BITS = 0x1fffffe0;

/** A mask of version bits that may be rolled (BIP323), as 8 hex digits; a maker takes no others. */
export const VERSION_MASK = textKind('version mask', '8 hex digits within 1fffffe0', (text) => {
  const mask = /^[0-9a-fA-F]{8}$/.test(text) ? Number.parseInt(text, 16) : undefined;
  return mask === undefined || (mask & ~BIP323_BITS) !== 0 ? undefined : mask;
});

/** A payee as it is typed: what it is called, its part of the pay or of another's part, and its address. */
export type PayeeText = {
  readonly label: string;
  /** Of the pay, or of what `of` has. */
  readonly partPpm: number;
  readonly of: string | undefined;
  readonly address: string;
};

const PAYEE_TEXT =
  /^([\w.-]{1,40}) (\d{1,2})(?:\.(\d{1,4}))?% (?:of ([\w.-]{1,40}) )?([A-Za-z0-9]{20,100})$/;

/** `hosting 15% bc1q…`, or a part of another's: `tax 19.5% of hosting bc1q…`. */
export const PAYEE = textKind(
  'payee',
  'a payee such as "hosting 15% ADDRESS" or "tax 19.5% of hosting ADDRESS"',
  (text): PayeeText | undefined => {
    const [, label, whole, fraction = '', of, address] = PAYEE_TEXT.exec(text) ?? [];
    if (label === undefined || address === undefined) return undefined;
    return { label, partPpm: Number(`${whole}${fraction.padEnd(4, '0')}`), of, address };
  },
);

/** A path; relative ones and `~/` are resolved by the loader. */
export const PATH = textKind('path', 'a path', (text) =>
  /^[^\p{Cc}]{1,4096}$/u.test(text) ? text : undefined,
);

/** A path to a file that only its owner may read. */
export const SECRET_PATH: Kind<string> = { ...PATH, name: 'path of a secret' };

/** A list in TOML; text separated by commas in the environment and in flags. */
export function listOf<T>(item: Kind<T>): Kind<readonly T[]> {
  return {
    name: `list of ${item.name}`,
    parse: (input) => {
      const parts =
        typeof input === 'string' ? input.split(',').filter((part) => part.trim() !== '') : input;
      if (!Array.isArray(parts) || parts.length > 1000) return expected(`a list of ${item.name}`, input);
      const values: T[] = [];
      for (const part of parts as readonly unknown[]) {
        const value = item.parse(part);
        if (value instanceof Invalid) return new Invalid(`has an item that ${value.why}`);
        values.push(value);
      }
      return values;
    },
  };
}

/** An address or a range: `192.0.2.7`, `10.0.0.0/8`, `2001:db8::/32`. */
export const ADDRESS_RANGE = textKind(
  'address range',
  'an IP address or a range such as "10.0.0.0/8"',
  (text) => {
    const [address = '', bits, ...rest] = text.split('/');
    const most = isIP(address) === 6 ? 128 : 32;
    const isNumber = bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= most);
    return isIP(address) !== 0 && rest.length === 0 && isNumber ? text : undefined;
  },
);
