import { isHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { isRecord, type Json } from '../base/json.ts';
import { parseDecimal } from '../base/units.ts';

/**
 * A codec of one term: `parse(print(value))` equals `value`, and a value has one spelling. `parse` throws
 * `bad_terms` with the path of the term it refuses.
 */
export type Field<T> = {
  readonly parse: (value: unknown, path: string) => T;
  readonly print: (value: T) => Json;
};

/** The type a field carries. */
export type FieldValue<F> = F extends Field<infer T> ? T : never;

/**
 * Refuses a term: throws `bad_terms` with `path` as `meta.path`, the names on the wire with dots between
 * groups.
 */
export function refuseTerm(path: string, why: string): never {
  throw new CodedError('bad_terms', `${path} ${why}`, { path });
}

/** A non-negative amount as a decimal string: sats, msat, hashes. */
export const amount: Field<bigint> = {
  parse: (value, path) => {
    try {
      return parseDecimal(value, path);
    } catch {
      return refuseTerm(path, 'must be a decimal string');
    }
  },
  print: (value) => value.toString(),
};

/** A JSON integer from `min` to `max`. */
export function integer(min: number, max: number): Field<number> {
  return {
    parse: (value, path) =>
      typeof value === 'number' &&
      Number.isInteger(value) &&
      !Object.is(value, -0) &&
      value >= min &&
      value <= max
        ? value
        : refuseTerm(path, `must be an integer from ${min} to ${max}`),
    print: (value) => value,
  };
}

/** Parts in a million: 0 to 1,000,000. */
export const ppm = integer(0, 1_000_000);

/** A block height: 1 to 499999999; a greater lock time would be a time (BIP65). */
export const height = integer(1, 499_999_999);

/** Lower-case hex of `min` to `max` bytes. */
export function hexBytes(min: number, max = min): Field<string> {
  return {
    parse: (value, path) =>
      isHex(value) && value === value.toLowerCase() && value.length >= 2 * min && value.length <= 2 * max
        ? value
        : refuseTerm(path, `must be ${min === max ? min : `${min} to ${max}`} bytes of lower-case hex`),
    print: (value) => value,
  };
}

/** An output script in hex: 1 to 100 bytes, longer than any standard one. */
export const outputScript = hexBytes(1, 100);

/** True or false. */
export const flag: Field<boolean> = {
  parse: (value, path) => (typeof value === 'boolean' ? value : refuseTerm(path, 'must be true or false')),
  print: (value) => value,
};

/** Printable ASCII, at most `max` characters. */
export function label(max: number): Field<string> {
  return {
    parse: (value, path) =>
      typeof value === 'string' && value.length <= max && /^[\x20-\x7e]*$/.test(value)
        ? value
        : refuseTerm(path, `must be at most ${max} printable ASCII characters`),
    print: (value) => value,
  };
}

/** One of a few words. */
export function oneOf<const W extends string>(...words: readonly W[]): Field<W> {
  return {
    parse: (value, path) =>
      words.find((word) => word === value) ?? refuseTerm(path, `must be one of ${words.join(', ')}`),
    print: (value) => value,
  };
}

/** A list of `min` to `max` items of one kind; their order counts. */
export function listOf<T>(item: Field<T>, min: number, max: number): Field<readonly T[]> {
  return {
    parse: (value, path) =>
      Array.isArray(value) && value.length >= min && value.length <= max
        ? value.map((each, index) => item.parse(each, `${path}.${index}`))
        : refuseTerm(path, `must be a list of ${min} to ${max}`),
    print: (value) => value.map((each) => item.print(each)),
  };
}

type Members<T> = { readonly [K in keyof T]: readonly [wireName: string, field: Field<T[K]>] };

/**
 * An object with exactly these members, each given as `[name on the wire, field]`; an unknown or missing
 * one is refused with its own path.
 * @param optional members that may be left out, where nothing of the kind was agreed
 */
export function group<T, O = Record<never, never>>(
  required: Members<T>,
  optional: Members<O> = {} as Members<O>,
): Field<Readonly<T & Partial<O>>> {
  const members = Object.entries<readonly [string, Field<unknown>]>({ ...required, ...optional });
  const names = new Set(members.map(([, [wireName]]) => wireName));
  return {
    parse: (value, path) => {
      if (!isRecord(value)) return refuseTerm(path === '' ? 'terms' : path, 'must be an object');
      const unknown = Object.keys(value).find((key) => !names.has(key));
      if (unknown !== undefined) refuseTerm(within(path, unknown.slice(0, 60)), 'is not known');
      const out: Record<string, unknown> = {};
      for (const [key, [wireName, field]] of members) {
        if (Object.hasOwn(value, wireName)) out[key] = field.parse(value[wireName], within(path, wireName));
        else if (!Object.hasOwn(optional, key)) refuseTerm(within(path, wireName), 'is missing');
      }
      return out as Readonly<T & Partial<O>>;
    },
    print: (value) => {
      const out: Record<string, Json> = {};
      const record: Readonly<Record<string, unknown>> = value;
      for (const [key, [wireName, field]] of members) {
        if (record[key] !== undefined) out[wireName] = field.print(record[key]);
      }
      return out;
    },
  };
}

type Tagged<K extends string, V> = {
  readonly [N in keyof V]: { readonly [key in K]: N } & V[N];
}[keyof V];

/** An object with a tag that selects its other members. */
export function tagged<const K extends string, V>(
  [tag, wireTag]: readonly [key: K, wireName: string],
  variants: { readonly [N in keyof V]: Field<V[N]> },
): Field<Tagged<K, V>> {
  const table = new Map(Object.entries<Field<unknown>>(variants as Record<string, Field<unknown>>));
  return {
    parse: (value, path) => {
      if (!isRecord(value)) return refuseTerm(path, 'must be an object');
      const { [wireTag]: name, ...rest } = value;
      const variant = typeof name === 'string' ? table.get(name) : undefined;
      if (variant === undefined) {
        return refuseTerm(within(path, wireTag), `must be one of ${[...table.keys()].join(', ')}`);
      }
      return { [tag]: name, ...(variant.parse(rest, path) as object) } as Tagged<K, V>;
    },
    print: (value) => {
      const name = (value as Readonly<Record<string, unknown>>)[tag] as string;
      return { [wireTag]: name, ...(table.get(name)!.print(value) as object) };
    },
  };
}

function within(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}
