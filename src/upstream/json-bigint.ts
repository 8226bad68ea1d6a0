type Reviver = (key: string, value: unknown, context: { readonly source?: string }) => unknown;

const INTEGER = /^-?[0-9]+$/;

/**
 * Parses JSON; integers a double does not hold exactly (the u64 extranonces of a bead) become bigints.
 * Throws SyntaxError, and RangeError for nesting too deep to walk.
 */
export function parseJsonBigint(text: string): unknown {
  const reviver: Reviver = (_key, value, { source }) =>
    typeof value === 'number' &&
    !Number.isSafeInteger(value) &&
    source !== undefined &&
    INTEGER.test(source)
      ? BigInt(source)
      : value;
  return (JSON.parse as (text: string, reviver: Reviver) => unknown)(text, reviver);
}
