import { readFileSync, writeFileSync } from 'node:fs';
import { documentOf } from '../../src/api/document.ts';
import { ERROR_TABLE } from '../../src/base/errors.ts';
import { exampleToml, optionTable } from '../../src/config/document.ts';
import { metricTable } from '../../src/metrics/catalogue.ts';
import { OPERATIONS } from '../api/all-operations.ts';

/**
 * Parts of documents, and whole examples, that follow from tables in the source. `node
 * test/ops/documents.ts` writes them, a test compares them.
 */
const PARTS: Readonly<Record<string, Readonly<Record<string, () => string>>>> = {
  'config/OPTIONS.md': {
    'proxy options': () => optionTable('proxy'),
    'maker options': () => optionTable('maker'),
    'auditor options': () => optionTable('auditor'),
  },
  'config/prometheus/METRICS.md': { metrics: metricTable },
  'src/base/ERRORS.md': { errors: errorTable },
};

const WHOLE: Readonly<Record<string, () => string>> = {
  ...Object.fromEntries(
    Object.entries(OPERATIONS).map(([daemon, operations]) => [
      `config/openapi/${daemon}.json`,
      () => `${JSON.stringify(documentOf(daemon, operations), null, 2)}\n`,
    ]),
  ),
  'config/proxy.example.toml': () => exampleToml('proxy'),
  'config/maker.example.toml': () => exampleToml('maker'),
  'config/auditor.example.toml': () => exampleToml('auditor'),
};

export const GENERATED: readonly string[] = [...Object.keys(PARTS), ...Object.keys(WHOLE)];

const urlOf = (path: string): URL => new URL(`../../${path}`, import.meta.url);

export function readDocument(path: string): string {
  return readFileSync(urlOf(path), 'utf8');
}

/** The text of a generated document, its generated parts made anew. */
export function generated(path: string): string {
  const whole = WHOLE[path];
  if (whole !== undefined) return whole();
  return Object.entries(PARTS[path]!).reduce((text, [name, make]) => {
    const part = new RegExp(`(<!-- generated: ${name} -->\n)[^]*?(<!-- end -->)`);
    if (!part.test(text)) throw new Error(`${path} has no part "${name}"`);
    return text.replace(part, (_all, start: string, end: string) => `${start}\n${make()}\n${end}`);
  }, readDocument(path));
}

function errorTable(): string {
  const rows = Object.entries(ERROR_TABLE).map(
    ([code, row]: [string, { hint: string; stratum?: number; rpc?: number; http?: number }]) => {
      return `| \`${code}\` | ${row.stratum ?? ''} | ${row.rpc ?? ''} | ${row.http ?? ''} | ${row.hint} |`;
    },
  );
  return `${['| Code | Stratum | JSON-RPC | HTTP | What to do |', '|---|---|---|---|---|', ...rows].join('\n')}\n`;
}

if (import.meta.main) for (const path of GENERATED) writeFileSync(urlOf(path), generated(path));
