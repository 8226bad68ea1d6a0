import { type Answer, ask } from './api.ts';
import { percent } from './format.ts';
import { usePolled } from './live.ts';
import type { Tone } from './parts.ts';

export type Status = Answer<'maker', 'getStatus'>;
export type Contract = Status['contracts'][number];
export type Book = Answer<'maker', 'getBook'>;
export type Booked = Book['contracts'][number];
/** A contract, and what the book says of it while it is open. */
export type Bought = { readonly contract: Contract; readonly booked: Booked | undefined };

type Both = { readonly status: Status; readonly book: Book };

const EVERY_MS = 5_000;

/** What all tabs of a maker are made of. */
export function useMaker() {
  return usePolled<Both>(async (signal) => {
    const [status, book] = await Promise.all([ask<Status>('/status', signal), ask<Book>('/book', signal)]);
    return { status, book };
  }, EVERY_MS);
}

export function boughtOf({ status, book }: Both): readonly Bought[] {
  const booked = new Map(book.contracts.map((row) => [row.contract, row]));
  return status.contracts.map((contract) => ({ contract, booked: booked.get(contract.contract_id) }));
}

export function sumOf(values: readonly string[]): bigint {
  return values.reduce((sum, value) => sum + BigInt(value), 0n);
}

/** How a contract stands, in a word. */
export function standingOf({ channel, stream, connected, fault, frozen }: Contract): {
  readonly tone: Tone;
  readonly says: string;
} {
  if (fault !== undefined || frozen !== undefined) return { tone: 'bad', says: fault ?? 'frozen' };
  if (channel === 'failed') return { tone: 'bad', says: 'failed' };
  if (channel !== 'open') return { tone: 'idle', says: channel };
  if (!connected) return { tone: 'warn', says: `${stream}, miner away` };
  return { tone: stream === 'live' ? 'good' : 'idle', says: stream };
}

/** A price beside today's value of hashes: below it is the maker's gain. */
export function spreadOf(msatPerEh: string, value: string | null): string {
  if (value === null || value === '0') return '–';
  const ratio = Number(msatPerEh) / Number(value) - 1;
  return `${ratio > 0 ? '+' : ''}${percent(ratio)}`;
}
