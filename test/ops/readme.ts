import { readFileSync, writeFileSync } from 'node:fs';
import { ERROR_TABLE } from '../../src/base/errors.ts';
import { exampleToml, optionTable } from '../../src/config/document.ts';
import { metricTable } from '../../src/metrics/catalogue.ts';

/**
 * Parts of files that follow from tables in the source. `node test/ops/readme.ts` writes them, a test
 * compares them.
 */
export const README = new URL('../../README.md', import.meta.url);

export const EXAMPLES = {
  proxy: new URL('../../config/proxy.example.toml', import.meta.url),
  maker: new URL('../../config/maker.example.toml', import.meta.url),
} as const;

function errorTable(): string {
  const rows = Object.entries(ERROR_TABLE).map(
    ([code, row]: [string, { hint: string; stratum?: number; rpc?: number }]) => {
      return `| \`${code}\` | ${row.stratum ?? ''} | ${row.rpc ?? ''} | ${row.hint} |`;
    },
  );
  return `${['| Code | Stratum | JSON-RPC | What to do |', '|---|---|---|---|', ...rows].join('\n')}\n`;
}

const PARTS: Readonly<Record<string, () => string>> = {
  'proxy options': () => optionTable('proxy'),
  'maker options': () => optionTable('maker'),
  metrics: metricTable,
  errors: errorTable,
};

/** The README with every generated part made anew. */
export function generatedReadme(text: string): string {
  return Object.entries(PARTS).reduce((readme, [name, make]) => {
    const part = new RegExp(`(<!-- generated: ${name} -->\n)[^]*?(<!-- end -->)`);
    if (!part.test(readme)) throw new Error(`README.md has no part "${name}"`);
    return readme.replace(part, (_all, start: string, end: string) => `${start}\n${make()}\n${end}`);
  }, text);
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  writeFileSync(README, generatedReadme(readFileSync(README, 'utf8')));
  for (const role of ['proxy', 'maker'] as const) writeFileSync(EXAMPLES[role], exampleToml(role));
}
