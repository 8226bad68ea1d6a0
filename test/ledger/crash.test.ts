import * as childProcess from 'node:child_process';
import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Ledger } from '../../src/ledger/ledger.ts';
import { openSqliteLedger } from '../../src/ledger/sqlite-ledger.ts';
import { verifyLedger } from '../../src/ledger/verify.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { seededRandom } from '../seed.ts';
import { temporaryDirectory } from './temporary.ts';

const WRITER = new URL('./fixtures/writer.ts', import.meta.url).pathname;
const SHARES = 5;
const temporary = temporaryDirectory();
const open = (path: string): Promise<Ledger> => openSqliteLedger({ path }, { log: silentLogger });

type Run = {
  readonly acknowledged: number[];
  /** What the writer said when it stopped by itself; else how it ended. */
  readonly stopped: string;
};

/** Runs a writer until `until` says so (it is then killed) or it stops by itself. */
async function runWriter(command: string, args: string[], until: (lines: number) => boolean): Promise<Run> {
  const child = childProcess.spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
    if (until(text.split('\n').length)) child.kill('SIGKILL');
  });
  const end = await new Promise<string>((resolve) =>
    child.on('close', (code, signal) => resolve(`exit ${code}, signal ${signal}`)),
  );
  const lines = text.split('\n').slice(0, -1);
  return {
    acknowledged: lines.filter((line) => /^\d+$/.test(line)).map(Number),
    stopped: lines.find((line) => line.startsWith('stopped '))?.slice('stopped '.length) ?? end,
  };
}

/** Every append is there as a whole, in order and without a gap. Returns how many there are. */
async function wholeAppends(path: string): Promise<number> {
  expect(await verifyLedger(path)).toMatchObject({ ok: true });
  const ledger = await open(path);
  const jobs = await ledger.list('job');
  const rows = await ledger.readLog('share', 's', 0, 1_000_000);
  expect(rows.map((row) => row.first)).toEqual(jobs.map((_, index) => index * SHARES));
  expect(jobs.map((job) => job.body)).toEqual(jobs.map((_, index) => `job ${index}`));
  expect(Number((await ledger.get('stream', 's')) ?? 0)).toBe(jobs.length * SHARES);
  await ledger.close();
  return jobs.length;
}

const random = seededRandom();

describe('kill -9', () => {
  it('loses nothing that was acknowledged, at whatever moment', async () => {
    const path = temporary.file('killed.db');
    let highest = -1;
    for (let round = 0; round < 5; round += 1) {
      const lines = 2 + random.below(300);
      const { acknowledged } = await runWriter(process.execPath, [WRITER, path], (seen) => seen > lines);
      expect(acknowledged.length).toBeGreaterThan(0);
      highest = Math.max(highest, ...acknowledged);
      expect(await wholeAppends(path)).toBeGreaterThan(highest);
    }
  });

  it('leaves a prefix of the journal, wherever the WAL was torn', async () => {
    const path = temporary.file('torn.db');
    await runWriter(process.execPath, [WRITER, path], (seen) => seen > 120);
    const wal = fs.readFileSync(`${path}-wal`);
    const counts = new Set<number>();
    for (let cut = 0; cut < 8; cut += 1) {
      const copy = temporary.file(`torn-${cut}.db`);
      fs.copyFileSync(path, copy);
      const kept = wal.subarray(0, Math.floor((wal.length * (cut + random.below(1000) / 1000)) / 8));
      fs.writeFileSync(`${copy}-wal`, Buffer.concat([kept, Buffer.alloc(100, 0xa5)]));
      counts.add(await wholeAppends(copy));
    }
    expect(counts.size).toBeGreaterThan(1);
  });
});

describe('a full disk', () => {
  it('fails the ledger once and for all; what was acknowledged is there', async () => {
    const path = temporary.file('full.db');
    const limited = `ulimit -f 1500; exec "${process.execPath}" "${WRITER}" "${path}"`;
    const { acknowledged, stopped } = await runWriter('sh', ['-c', limited], () => false);
    const failed = { code: 'ledger_io', later: 'ledger_io', failures: ['ledger_io'], failed: true };
    expect(stopped).toBe(JSON.stringify(failed));
    expect(acknowledged.length).toBeGreaterThan(0);
    expect(await wholeAppends(path)).toBeGreaterThan(Math.max(...acknowledged));
  });
});
