import { z } from 'zod';

/** A name as the API spells it: `paidSat` is `paid_sat`. */
export type SnakeName<K> = K extends string ? (string extends K ? K : Snake<K>) : K;
type Snake<S extends string, Done extends string = ''> = S extends `${infer C}${infer Rest}`
  ? Snake<Rest, C extends Lowercase<C> ? `${Done}${C}` : `${Done}_${Lowercase<C>}`>
  : Done;

/** What JSON makes of a value: names in snake case, bigints as decimal strings. */
export type Wired<T> = T extends bigint
  ? string
  : T extends readonly (infer U)[]
    ? Wired<U>[]
    : T extends object
      ? { [K in keyof T as SnakeName<K>]: Wired<T[K]> }
      : T;

/**
 * A value in the shape of its schema: the fields that the schema names and no others, each taken from the
 * field of that name or of its name in camel case. Never fails: what a value lacks, its JSON lacks.
 */
export function wired(schema: z.core.$ZodType, value: unknown): unknown {
  if (value === undefined || value === null) return value;
  if (typeof value === 'bigint') return value.toString();
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable)
    return wired(schema.unwrap(), value);
  if (schema instanceof z.ZodArray)
    return (value as readonly unknown[]).map((item) => wired(schema.element, item));
  if (schema instanceof z.ZodRecord) {
    const entries = Object.entries(value).map(([key, item]) => [key, wired(schema.valueType, item)]);
    return Object.fromEntries(entries);
  }
  if (!(schema instanceof z.ZodObject)) return value;
  const fields = value as Readonly<Record<string, unknown>>;
  const isLoose = schema.def.catchall !== undefined;
  const shape: Readonly<Record<string, z.core.$ZodType>> = schema.shape;
  const named = Object.entries(shape).map(([name, field]) => {
    return [name, wired(field, Object.hasOwn(fields, name) ? fields[name] : fields[camelOf(name)])];
  });
  return { ...(isLoose ? fields : {}), ...Object.fromEntries(named) };
}

const camelOf = (name: string): string =>
  name.replaceAll(/_([a-z])/g, (_all, letter: string) => letter.toUpperCase());
