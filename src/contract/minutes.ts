import { concat, fromHex } from '../base/bytes.ts';
import { taggedHash } from '../base/hash.ts';
import { canonicalJson, type Json } from '../base/json.ts';
import type { FaultOwner } from './delivery-state.ts';

/**
 * The minute log of a contract: one report of each side for each minute in which its program ran, in a hash
 * chain whose head it signs for the other. A minute is a number, of wall time since 1970. A side that left
 * one out, and went on, was down in it: that is an admission like any other.
 */

/** What the miner says of a minute. */
export const MINER_SAYS = ['delivering', 'idle', 'unpaid', 'no_work', 'paused'] as const;
/** What the maker says of a minute. */
export const MAKER_SAYS = ['taking', 'work_down', 'pool_refuses', 'suspended', 'paused'] as const;
export type MinuteSays = (typeof MINER_SAYS)[number] | (typeof MAKER_SAYS)[number];

/** Signed notice that no work comes for so many blocks from a height on. */
export type CurtailmentNotice = { readonly fromHeight: number; readonly blocks: number };

/** The report of one side about one minute, at its end. */
export type MinuteReport = {
  readonly minute: number;
  /** Of its tip. */
  readonly height: number;
  /** All work so far, hashes: credited (maker), delivered (miner). */
  readonly workHashes: bigint;
  /** The part of it that the newest state pays, acked (maker) or on disk (miner). */
  readonly paidHashes: bigint;
  /** The newest minute of the other side whose report it has. */
  readonly heard: number;
  readonly says: MinuteSays;
  /** Miner: a notice that is given with this report. */
  readonly notice?: CurtailmentNotice;
};

export type MinuteRole = 'miner' | 'maker';

function reportToJson({ notice, ...report }: MinuteReport): { readonly [key: string]: Json } {
  return {
    ...{ minute: report.minute, height: report.height, heard: report.heard, says: report.says },
    ...{ work: report.workHashes.toString(), paid: report.paidHashes.toString() },
    ...(notice === undefined ? {} : { notice: { from_height: notice.fromHeight, blocks: notice.blocks } }),
  };
}

/** The head of a chain without reports. */
export function firstHead(contractId: string, role: MinuteRole): Uint8Array {
  return taggedHash('shct/minutes/1', concat(fromHex(contractId, 32), new TextEncoder().encode(role)));
}

/** The head after one more report. */
export function headAfter(head: Uint8Array, report: MinuteReport): Uint8Array {
  const text = new TextEncoder().encode(canonicalJson(reportToJson(report)));
  return taggedHash('shct/minute/1', concat(head, text));
}

/** The digest of a head that its side signs by its node key. */
export function headDigest(head: Uint8Array): Uint8Array {
  return taggedHash('shct/minutes/head/1', head);
}

/** Minutes within which a report is heard where the link works; so long a minute waits for its ruling. */
export const HEARD_MINUTES = 3;

/** What both said of one minute; `down` where a side was, `unheard` where its report is not known. */
export type MinuteWords = {
  readonly minute: number;
  readonly miner: MinuteReport | 'down' | 'unheard';
  readonly maker: MinuteReport | 'down' | 'unheard';
  /** Whether each side's later reports show that it had the other's report of this minute in time. */
  readonly isHeard: Readonly<Record<MinuteRole, boolean>>;
  /** Work that the maker credited in it, hashes, by its own report; 0 where there is none. */
  readonly creditedHashes: bigint;
  /** Work that is due in a minute, and of the hardest share, hashes. */
  readonly dueHashes: bigint;
  readonly shareHashes: bigint;
  /** Unpaid work, hashes, at which a miner may stop: a step less than `max_unpaid_steps`. */
  readonly unpaidHashes: bigint;
};

/** Whose fault a minute is; `undecided` where the logs do not say, undefined where nothing is missing. */
export type MinuteRuling = FaultOwner | 'undecided' | undefined;

/**
 * The owner of a minute's fault, by both logs alone. What a side says against itself is believed; what it
 * says against the other, only where the other's own report shows it. Silence proves nothing.
 */
export function ownerOf(words: MinuteWords): MinuteRuling {
  const { miner, maker, isHeard } = words;
  const admitted = admittedBy(saysOf(miner), saysOf(maker));
  if (admitted !== undefined) return admitted;
  if (isChance(words)) return undefined;
  if (MINERS_OWN.has(saysOf(miner))) return 'miner_offline';
  if (typeof miner === 'string' || typeof maker === 'string') return 'undecided';
  if (isHeard.miner !== isHeard.maker) return 'undecided';
  if (!isHeard.miner) return 'network';
  if (miner.says === 'unpaid') {
    const isUnpaid = maker.workHashes - maker.paidHashes >= words.unpaidHashes;
    return isUnpaid ? 'maker_silent' : 'undecided';
  }
  if (miner.says !== 'delivering' || maker.says !== 'taking') return 'undecided';
  return words.creditedHashes === 0n ? 'miner_offline' : 'miner_slow';
}

/** What a miner says of a minute in which it did not deliver, and which no notice excuses. */
const MINERS_OWN: ReadonlySet<string> = new Set(['idle', 'down', 'paused']);

const saysOf = (report: MinuteWords['miner']): MinuteSays | 'down' | 'unheard' =>
  typeof report === 'string' ? report : report.says;

/** What the maker, or both, have said against themselves: then nothing was due. */
function admittedBy(
  miner: ReturnType<typeof saysOf>,
  maker: ReturnType<typeof saysOf>,
): FaultOwner | undefined {
  if (miner === 'paused' && maker === 'paused') return 'agreed_pause';
  if (maker === 'work_down') return 'maker_work_down';
  if (maker === 'pool_refuses') return 'pool_refuses';
  return maker === 'suspended' || maker === 'paused' || maker === 'down' ? 'maker_silent' : undefined;
}

/** Standard deviations, and expected shares, from which on too little is no chance in a single minute. */
const DEVIATIONS = 3;
const SURE_SHARES = 5;

/** True where so little work of a minute may be luck. */
function isChance({ creditedHashes, dueHashes, shareHashes }: MinuteWords): boolean {
  const due = Number(dueHashes) / Number(shareHashes);
  const shares = Number(creditedHashes) / Number(shareHashes);
  if (shares === 0 && due >= SURE_SHARES) return false;
  return shares >= due - DEVIATIONS * Math.sqrt(due);
}
