import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import type { TestProject } from 'vitest/node';
import { fetchBitcoind } from './bitcoind-program.ts';
import { buildBtcd } from './btcd-program.ts';
import { ROWS, type RowRecord } from './row-names.ts';

/** Once for each kind of node, before all files; what it returns, once after them. */
export function setup(project: TestProject): () => void {
  if (project.name === 'btcd') buildBtcd();
  else fetchBitcoind();
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'rows-'));
  const file = path.join(folder, 'rows.jsonl');
  fs.writeFileSync(file, '');
  project.provide('rowsFile', file);
  return () => {
    const lines = fs.readFileSync(file, 'utf8').split('\n').filter(Boolean);
    fs.rmSync(folder, { recursive: true });
    printTable(
      project.name,
      lines.map((line) => JSON.parse(line) as RowRecord),
    );
  };
}

function printTable(kind: string, records: readonly RowRecord[]): void {
  if (records.length === 0) return;
  const known: readonly string[] = ROWS;
  const sorted = [...records].sort((a, b) => known.indexOf(a.row) - known.indexOf(b.row));
  const titles = ['row', 'case', 'miner', 'maker', 'locked', 'fees'];
  const cells = sorted.map(({ row, detail, minerSat, makerSat, lockedSat = '0', feesSat }) => [
    ...[row, detail, minerSat, makerSat, lockedSat, feesSat],
  ]);
  const widths = titles.map((title, column) =>
    Math.max(title.length, ...cells.map((line) => line[column]!.length)),
  );
  const print = (line: readonly string[]): string =>
    line
      .map((cell, column) => (column < 2 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
      .join('  ');
  process.stdout.write(
    `\nWho ended with what on ${kind}, in satoshis:\n\n${[titles, ...cells].map(print).join('\n')}\n`,
  );
}
