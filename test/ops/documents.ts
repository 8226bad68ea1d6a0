import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generateSource } from 'oazapfts';
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

const WHOLE: Readonly<Record<string, () => string | Promise<string>>> = {
  ...Object.fromEntries(
    Object.entries(OPERATIONS).map(([daemon, operations]) => [
      `config/openapi/${daemon}.json`,
      () => `${JSON.stringify(documentOf(daemon, operations), null, 2)}\n`,
    ]),
  ),
  'src/api/status.client.ts': statusClient,
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
export async function generated(path: string): Promise<string> {
  const whole = WHOLE[path];
  if (whole !== undefined) return await whole();
  return Object.entries(PARTS[path]!).reduce((text, [name, make]) => {
    const part = new RegExp(`(<!-- generated: ${name} -->\n)[^]*?(<!-- end -->)`);
    if (!part.test(text)) throw new Error(`${path} has no part "${name}"`);
    return text.replace(part, (_all, start: string, end: string) => `${start}\n${make()}\n${end}`);
  }, readDocument(path));
}

type StatusDocument = {
  info: { title: string };
  paths: {
    '/status': { get: { responses: { 200: { content: Record<'application/json', { schema: object }> } } } };
  };
  components: { schemas: Readonly<Record<string, object>> };
};

/** The client of `status`, which asks any daemon: from all their documents, by a public generator. */
async function statusClient(): Promise<string> {
  const documents = Object.entries(OPERATIONS).map(([daemon, operations]) => {
    const prefix = `${daemon.slice(0, 1).toUpperCase()}${daemon.slice(1)}`;
    const place = '#/components/schemas/';
    const text = JSON.stringify(documentOf(daemon, operations)).replaceAll(place, `${place}${prefix}`);
    const document = JSON.parse(text) as StatusDocument;
    const schemas = Object.entries(document.components.schemas);
    return { ...document, named: schemas.map(([name, schema]) => [`${prefix}${name}`, schema] as const) };
  });
  const { named: _named, ...all } = documents[0]!;
  const answers = documents.map(({ paths }) => answerOf(paths).schema);
  answerOf(all.paths).schema = { oneOf: answers };
  all.paths = { '/status': all.paths['/status'] };
  all.info.title = 'Sharestream status';
  all.components.schemas = Object.fromEntries(documents.flatMap(({ named }) => named));
  const folder = mkdtempSync(join(tmpdir(), 'status-client-'));
  try {
    const file = join(folder, 'openapi.json');
    writeFileSync(file, JSON.stringify(all));
    return await generateSource(file, { useUnknown: true, argumentStyle: 'object' });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const answerOf = (paths: StatusDocument['paths']): { schema: object } =>
  paths['/status'].get.responses[200].content['application/json'];

function errorTable(): string {
  const rows = Object.entries(ERROR_TABLE).map(
    ([code, row]: [string, { hint: string; stratum?: number; rpc?: number; http?: number }]) => {
      return `| \`${code}\` | ${row.stratum ?? ''} | ${row.rpc ?? ''} | ${row.http ?? ''} | ${row.hint} |`;
    },
  );
  return `${['| Code | Stratum | JSON-RPC | HTTP | What to do |', '|---|---|---|---|---|', ...rows].join('\n')}\n`;
}

if (import.meta.main) for (const path of GENERATED) writeFileSync(urlOf(path), await generated(path));
