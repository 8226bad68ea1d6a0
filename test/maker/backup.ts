import type { LedgerEntry } from '../../src/ledger/ledger.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { MortalLedger } from './world.ts';

const KINDS = [
  'contract',
  'opening',
  'funding',
  'state',
  'channel',
  'delivery',
  'ack',
  'job',
  'stream',
  'seal',
  'commitment',
  'refusals',
];

/**
 * A backup: what a ledger holds now.
 * @param uptoN leaves out newer states, as a copy made at that state would
 */
export async function backup(
  store: MemoryLedger,
  contractId: string,
  uptoN = Number.POSITIVE_INFINITY,
): Promise<LedgerEntry[]> {
  const entries: LedgerEntry[] = [];
  for (const kind of KINDS) {
    for (const { id, body } of await store.list(kind)) {
      if ((kind === 'state' || kind === 'commitment') && Number(id.slice(65)) > uptoN) continue;
      entries.push({ type: 'put', kind, id, body: kind === 'channel' ? upTo(body, uptoN) : body });
    }
  }
  for (const { first, count, body } of await store.readLog('share', contractId, 0, 100_000)) {
    entries.push({ type: 'log', kind: 'share', stream: contractId, first, count, body });
  }
  return entries;
}

function upTo(body: string, n: number): string {
  const record = JSON.parse(body) as { n: number };
  return JSON.stringify({ ...record, n: Math.min(record.n, n) });
}

export async function restore(entries: readonly LedgerEntry[]): Promise<MortalLedger> {
  const store = new MemoryLedger();
  await store.append(entries);
  return new MortalLedger(store);
}
