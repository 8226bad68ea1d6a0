/** The reviver's third argument and `rawJSON` are in the engine, and not yet in the compiler's library. */
type RawJson = { readonly rawJSON: string };
type SourceReviver = (key: string, value: unknown, context: { readonly source?: string }) => unknown;
const engine = JSON as unknown as {
  readonly parse: (text: string, reviver: SourceReviver) => unknown;
  readonly rawJSON: (text: string) => RawJson;
};

const INTEGER = /^-?\d+$/;

/** JSON text in which a bigint is a bare integer, as other languages print their 64-bit numbers. */
export function printJson(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) =>
    typeof item === 'bigint' ? engine.rawJSON(item.toString()) : item,
  );
}

/** Parses JSON; integers a double cannot hold become bigints. Throws SyntaxError. */
export function parseJson(text: string): unknown {
  return engine.parse(text, (_key, value, context) => {
    if (typeof value !== 'number' || Number.isSafeInteger(value)) return value;
    const { source } = context;
    return source !== undefined && INTEGER.test(source) ? BigInt(source) : value;
  });
}
