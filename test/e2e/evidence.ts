import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { openSqliteLedger } from '../../src/ledger/sqlite-ledger.ts';
import { verifyLedger } from '../../src/ledger/verify.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { STREAM_KIND } from '../../src/work/evidence.ts';
import { evidenceLines } from '../../src/work/evidence-lines.ts';
import { type Recomputed, recompute } from './recompute.ts';

/** Polls until the condition holds; throws when it takes too long. */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined>,
  timeoutMs = 60_000,
): Promise<T> {
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    const value = await look();
    if (value !== undefined) return value;
    if (performance.now() > endMs) throw new Error(`${what} took longer than ${timeoutMs} ms`);
    await sleep(200);
  }
}

/** Every stream of a daemon's ledger, each share recomputed. The daemon must have ended. */
export async function evidenceOf(
  dataDir: string,
  options: Parameters<typeof evidenceLines>[2] = {},
): Promise<Map<string, Recomputed>> {
  const path = join(dataDir, 'ledger.sqlite');
  expect(await verifyLedger(path)).toMatchObject({ ok: true });
  const ledger = await openSqliteLedger({ path, readOnly: true }, { log: silentLogger });
  const streams = new Map<string, Recomputed>();
  for (const { id } of await ledger.list(STREAM_KIND)) {
    const lines: string[] = [];
    for await (const line of evidenceLines(ledger, id, options)) lines.push(line);
    streams.set(id, recompute(lines.join('\n')));
  }
  await ledger.close();
  return streams;
}
