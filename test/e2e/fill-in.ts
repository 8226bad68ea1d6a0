import { parse, stringify } from 'smol-toml';
import { isRecord } from '../../src/base/json.ts';

/**
 * A sample as a person fills it in: each option of `wanted` is written where the sample has it, in force or
 * commented out; tables beyond the first of a list are added at the end. Throws where the sample has no
 * such option.
 */
export function fillIn(sample: string, wanted: Readonly<Record<string, unknown>>): string {
  let text = sample;
  const more: string[] = [];
  const set = (path: string, values: Readonly<Record<string, unknown>>): void => {
    for (const [key, value] of Object.entries(values)) {
      const inner = path === '' ? key : `${path}.${key}`;
      if (Array.isArray(value) && value.some(isRecord)) {
        const [first, ...others] = value as Record<string, unknown>[];
        set(inner, first!);
        more.push(...others.map((other) => `[[${inner}]]\n${stringify(other)}`));
      } else if (isRecord(value)) set(inner, value);
      else text = setOption(text, path, key, value);
    }
  };
  set('', wanted);
  return [text, ...more].join('\n');
}

function setOption(text: string, section: string, key: string, value: unknown): string {
  const lines = text.split('\n');
  const isHeader = (line: string): boolean => /^(?:# )?\[/.test(line);
  const names = [`[${section}]`, `[[${section}]]`];
  const from = section === '' ? 0 : lines.findIndex((line) => names.includes(line)) + 1;
  const end = lines.findIndex((line, index) => index >= from && isHeader(line));
  const at = lines.findIndex((line, index) => index >= from && new RegExp(`^(?:# )?${key} = `).test(line));
  if ((section !== '' && from === 0) || at === -1 || (end !== -1 && at > end)) {
    throw new Error(`the sample has no ${section}.${key}`);
  }
  lines[at] = stringify({ [key]: value }).trim();
  return lines.join('\n');
}

/** Options of a configuration, without those that a person leaves as they are. */
export function optionsOf(toml: string, without: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(parse(toml)).filter(([key]) => !without.includes(key)));
}
