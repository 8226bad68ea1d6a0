/**
 * The YAML our own files use: block maps and lists, flow lists, the empty map, quoted and plain scalars,
 * block scalars, comments.
 */
export type Yaml = string | readonly Yaml[] | { readonly [key: string]: Yaml };

type Line = { readonly indent: number; readonly text: string; readonly number: number };

/**
 * Reads a document; every scalar is a string. Throws with the line for tabs, bad indentation, repeated keys
 * and the rest.
 */
export function parseYaml(source: string): Yaml {
  const lines = source.split('\n').map((text, index) => ({
    indent: text.length - text.trimStart().length,
    text: text.trim(),
    number: index + 1,
  }));
  for (const [index, raw] of source.split('\n').entries()) {
    if (raw.includes('\t')) throw new Error(`line ${index + 1}: a tab`);
  }
  const reader = new YamlReader(lines, source.split('\n'));
  const value = reader.block(0);
  reader.expectEnd();
  return value;
}

class YamlReader {
  #at = 0;
  readonly #lines: readonly Line[];
  readonly #raw: readonly string[];

  constructor(lines: readonly Line[], raw: readonly string[]) {
    this.#lines = lines;
    this.#raw = raw;
  }

  expectEnd(): void {
    const line = this.#peek();
    if (line !== undefined) throw new Error(`line ${line.number}: unexpected ${line.text}`);
  }

  block(indent: number): Yaml {
    const line = this.#peek();
    if (line === undefined || line.indent < indent) return '';
    return line.text.startsWith('- ') || line.text === '-'
      ? this.#list(line.indent)
      : this.#map(line.indent);
  }

  #list(indent: number): Yaml[] {
    const items: Yaml[] = [];
    for (
      let line = this.#peek();
      line?.indent === indent && line.text.startsWith('-');
      line = this.#peek()
    ) {
      const rest = line.text.slice(1).trim();
      const inner = indent + line.text.length - line.text.slice(1).trimStart().length;
      if (keyOf(rest) !== undefined) items.push(this.#map(inner, { ...line, indent: inner, text: rest }));
      else {
        this.#at += 1;
        items.push(scalar(rest, line.number));
      }
    }
    return items;
  }

  #map(indent: number, first?: Line): Yaml {
    const map: Record<string, Yaml> = {};
    let line = first ?? this.#peek();
    while (line !== undefined && line.indent === indent) {
      const entry = keyOf(line.text);
      if (entry === undefined)
        throw new Error(`line ${line.number}: expected "key: value", got ${line.text}`);
      if (Object.hasOwn(map, entry.key)) throw new Error(`line ${line.number}: ${entry.key} is repeated`);
      this.#at += 1;
      map[entry.key] = this.#value(entry.rest, indent, line.number);
      line = this.#peek();
    }
    if (line !== undefined && line.indent > indent) throw new Error(`line ${line.number}: bad indentation`);
    return map;
  }

  #value(rest: string, indent: number, number: number): Yaml {
    if (/^[|>][-+]?$/.test(rest)) return this.#literal(indent);
    if (rest !== '') return scalar(rest, number);
    const next = this.#peek();
    const isNested =
      next !== undefined && (next.indent > indent || (next.indent === indent && /^-( |$)/.test(next.text)));
    return isNested ? this.block(indent) : '';
  }

  #literal(indent: number): string {
    const taken: string[] = [];
    while (this.#at < this.#lines.length) {
      const line = this.#lines[this.#at]!;
      if (line.text !== '' && line.indent <= indent) break;
      taken.push(this.#raw[this.#at]!.trim());
      this.#at += 1;
    }
    return taken.join('\n').trim();
  }

  #peek(): Line | undefined {
    while (this.#at < this.#lines.length) {
      const line = this.#lines[this.#at]!;
      if (line.text !== '' && !line.text.startsWith('#') && line.text !== '---') return line;
      this.#at += 1;
    }
    return undefined;
  }
}

function keyOf(text: string): { readonly key: string; readonly rest: string } | undefined {
  const match = /^(\w[\w.-]*):(?: (.*))?$/.exec(text);
  return match === null ? undefined : { key: match[1]!, rest: withoutComment((match[2] ?? '').trim()) };
}

function withoutComment(text: string): string {
  return /^["']/.test(text) ? text : text.replace(/(^| )#.*$/, '').trim();
}

function scalar(text: string, number: number): Yaml {
  if (text === '{}') return {};
  const plain = withoutComment(text);
  if (plain.startsWith('[')) {
    if (!plain.endsWith(']')) throw new Error(`line ${number}: unclosed list`);
    const inner = plain.slice(1, -1).trim();
    return inner === ''
      ? []
      : (inner.match(/"[^"]*"|'[^']*'|[^,]+/g) ?? []).map((item) => quoted(item.trim(), number));
  }
  return quoted(plain, number);
}

function quoted(text: string, number: number): string {
  if (text.startsWith("'")) {
    if (!/^'(?:[^']|'')*'$/.test(text)) throw new Error(`line ${number}: unclosed quote`);
    return text.slice(1, -1).replaceAll("''", "'");
  }
  if (text.startsWith('"')) return JSON.parse(text) as string;
  if (/^[{&*!%@`]/.test(text) || /: /.test(text)) throw new Error(`line ${number}: quote this: ${text}`);
  return text;
}
