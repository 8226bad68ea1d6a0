import { fromHex, isHex, toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { isRecord, type Json } from '../base/json.ts';
import { parseDecimal } from '../base/units.ts';

/**
 * A codec of one wire shape: `parse(print(value))` equals `value`; `parse` throws `protocol` for anything
 * else.
 */
export type Codec<T> = {
  readonly parse: (value: unknown) => T;
  readonly print: (value: T) => Json;
};

/** The type a codec carries. */
export type CodecValue<C> = C extends Codec<infer T> ? T : never;

function refuse(expected: string, value: unknown): never {
  throw new CodedError('protocol', `expected ${expected}, got ${excerpt(value)}`);
}

function excerpt(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value.slice(0, 40)) : typeof value;
}

/** A non-negative bigint as a decimal string: sats, msat, hashes. */
export const decimal: Codec<bigint> = {
  parse: (value) => parseDecimal(value, 'value'),
  print: (value) => value.toString(),
};

/** A safe integer in a range: heights, state numbers, sequence numbers. */
export function integer(min: number, max: number): Codec<number> {
  return {
    parse: (value) =>
      typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max
        ? value
        : refuse(`an integer from ${min} to ${max}`, value),
    print: (value) => value,
  };
}

/** A positive finite double; JSON keeps every bit of it. */
export const positiveNumber: Codec<number> = {
  parse: (value) =>
    typeof value === 'number' && Number.isFinite(value) && value > 0
      ? value
      : refuse('a positive number', value),
  print: (value) => value,
};

/** Lower-case hex of `size` bytes. */
export function hexOf(size: number): Codec<string> {
  return hexUpTo(size, size);
}

/** Lower-case hex of `min` to `max` bytes. */
export function hexUpTo(max: number, min = 0): Codec<string> {
  return {
    parse: (value) =>
      isHex(value) && value.length >= min * 2 && value.length <= max * 2 && value === value.toLowerCase()
        ? value
        : refuse(`${min} to ${max} bytes of lower-case hex`, value),
    print: (value) => value,
  };
}

/** Bytes as lower-case hex. */
export function bytesUpTo(max: number, min = 0): Codec<Uint8Array> {
  const digits = hexUpTo(max, min);
  return { parse: (value) => fromHex(digits.parse(value)), print: toHex };
}

/** A string of at most `max` characters matching `pattern`. */
export function text(max: number, pattern = /^/): Codec<string> {
  return {
    parse: (value) =>
      typeof value === 'string' && value.length <= max && pattern.test(value)
        ? value
        : refuse('a string', value),
    print: (value) => value,
  };
}

/** True or false. */
export const flag: Codec<boolean> = {
  parse: (value) => (typeof value === 'boolean' ? value : refuse('true or false', value)),
  print: (value) => value,
};

/** One of a few words. */
export function oneOf<const W extends string>(...words: readonly W[]): Codec<W> {
  return {
    parse: (value) => words.find((word) => word === value) ?? refuse(`one of ${words.join(', ')}`, value),
    print: (value) => value,
  };
}

/** A list of `min` to `max` items. */
export function listOf<T>(item: Codec<T>, max: number, min = 0): Codec<readonly T[]> {
  return {
    parse: (value) =>
      Array.isArray(value) && value.length >= min && value.length <= max
        ? value.map((element) => item.parse(element))
        : refuse(`a list of ${min} to ${max}`, value),
    print: (value) => value.map((element) => item.print(element)),
  };
}

/** A value that may be absent: undefined in memory, null on the wire. */
export function nullable<T>(inner: Codec<T>): Codec<T | undefined> {
  return {
    parse: (value) => (value === null ? undefined : inner.parse(value)),
    print: (value) => (value === undefined ? null : inner.print(value)),
  };
}

type Fields<T> = { readonly [K in keyof T]: readonly [wireName: string, codec: Codec<T[K]>] };

/**
 * An object with exactly these fields, each given as `[name on the wire, codec]`.
 * @param optional fields that may be left out
 */
export function object<T, O = Record<never, never>>(
  required: Fields<T>,
  optional: Fields<O> = {} as Fields<O>,
): Codec<Readonly<T & Partial<O>>> {
  const fields = Object.entries<readonly [string, Codec<unknown>]>({ ...required, ...optional });
  const names = new Set(fields.map(([, [wireName]]) => wireName));
  return {
    parse: (value) => {
      if (!isRecord(value)) return refuse('an object', value);
      for (const key of Object.keys(value)) {
        if (!names.has(key)) throw new CodedError('protocol', `unknown field ${excerpt(key)}`);
      }
      const out: Record<string, unknown> = {};
      for (const [key, [wireName, codec]] of fields) {
        if (!Object.hasOwn(value, wireName)) {
          if (Object.hasOwn(optional, key)) continue;
          throw new CodedError('protocol', `${wireName} is missing`);
        }
        try {
          out[key] = codec.parse(value[wireName]);
        } catch (error) {
          throw inField(wireName, error);
        }
      }
      return out as Readonly<T & Partial<O>>;
    },
    print: (value) => {
      const out: Record<string, Json> = {};
      const record: Readonly<Record<string, unknown>> = value;
      for (const [key, [wireName, codec]] of fields) {
        if (record[key] === undefined && Object.hasOwn(optional, key)) continue;
        out[wireName] = codec.print(record[key]);
      }
      return out;
    },
  };
}

function inField(wireName: string, error: unknown): unknown {
  if (!(error instanceof CodedError)) return error;
  return new CodedError(error.code, `${wireName}: ${error.message.replace(/^[a-z_]+: /, '')}`);
}
