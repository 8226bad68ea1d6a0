import { isRecord } from '../base/json.ts';
import { TOLD_BYTES } from '../ledger/postgres/instances.ts';

/** From one time that an instance tells of itself to the next. */
export const TELL_MS = 2_000;
/** One that told nothing for so long is gone; ... */
export const GONE_MS = 10_000;
/** ... and after so long it is shown no more. */
export const DROPPED_MS = 24 * 3_600_000;
/** Contracts that are told at most. */
const CONTRACTS_TOLD = 32;
const TEXT_MOST = 100;

/** How an instance stands to a contract that others serve too. */
export type ContractNews = {
  readonly name: string;
  readonly resource: string;
  readonly isOwner: boolean;
  /** By its configuration: how long the lease holds without being renewed. */
  readonly leaseMs: number;
  /** What it may have delivered in all, and what it has. */
  readonly grantedHashes: bigint;
  readonly doneHashes: bigint;
};

/** What an instance tells the others of itself. */
export type InstanceNews = {
  readonly site: string;
  readonly software: string;
  readonly sessions: number;
  readonly hashesPerSecond: number;
  /** Writes that its ledger has not committed yet. */
  readonly queuedWrites: number;
  /** Since its last commit, while any write waits. */
  readonly lagMs: number;
  readonly contracts: readonly ContractNews[];
  /** Contracts of its own, which nobody takes over. */
  readonly ownContracts: number;
  /** The range of session ids that it has leased. */
  readonly extranonceRange: number | undefined;
};

/** As the row of an instance holds it: of contracts as many as have room. */
export function printNews(news: InstanceNews): string {
  const told = news.contracts.slice(0, CONTRACTS_TOLD).map(({ grantedHashes, doneHashes, ...each }) => ({
    ...each,
    ...{ grantedHashes: grantedHashes.toString(), doneHashes: doneHashes.toString() },
  }));
  for (;;) {
    const text = JSON.stringify({ version: 1, ...news, contracts: told });
    if (told.length === 0 || Buffer.byteLength(text) <= TOLD_BYTES) return text;
    told.pop();
  }
}

/** Reads what `printNews` made; undefined for what is none, or of a later version. */
export function parseNews(text: string): InstanceNews | undefined {
  const value = jsonOf(text);
  if (!isRecord(value) || value['version'] !== 1 || !Array.isArray(value['contracts'])) return undefined;
  const { site, software, extranonceRange } = value;
  const numbers = ['sessions', 'hashesPerSecond', 'queuedWrites', 'lagMs', 'ownContracts'] as const;
  const [sessions, hashesPerSecond, queuedWrites, lagMs, ownContracts] = numbers.map((name) =>
    numberOf(value[name]),
  );
  const contracts = value['contracts'].slice(0, CONTRACTS_TOLD).flatMap((each) => contractOf(each) ?? []);
  if (typeof site !== 'string' || typeof software !== 'string') return undefined;
  return {
    ...{ site: site.slice(0, TEXT_MOST), software: software.slice(0, TEXT_MOST), contracts },
    ...{ sessions: sessions!, hashesPerSecond: hashesPerSecond!, queuedWrites: queuedWrites! },
    ...{ lagMs: lagMs!, ownContracts: ownContracts! },
    extranonceRange: typeof extranonceRange === 'number' ? extranonceRange : undefined,
  };
}

function contractOf(value: unknown): ContractNews | undefined {
  if (!isRecord(value)) return undefined;
  const { name, resource, isOwner, leaseMs } = value;
  const [grantedHashes, doneHashes] = [hashesOf(value['grantedHashes']), hashesOf(value['doneHashes'])];
  if (typeof name !== 'string' || typeof resource !== 'string') return undefined;
  if (grantedHashes === undefined || doneHashes === undefined) return undefined;
  const told = { isOwner: isOwner === true, leaseMs: numberOf(leaseMs) };
  return { name, resource, ...told, grantedHashes, doneHashes };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What is none is nought: it is only shown. */
function numberOf(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : 0;
}

function hashesOf(value: unknown): bigint | undefined {
  return typeof value === 'string' && /^\d{1,60}$/.test(value) ? BigInt(value) : undefined;
}
