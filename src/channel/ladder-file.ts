import { Transaction } from 'bitcoinjs-lib';
import { concat, equal, fromHex, reversed, toHex } from '../base/bytes.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import { sha256, taggedHash } from '../base/hash.ts';
import { canonicalJson, type Json } from '../base/json.ts';
import { parseDecimal } from '../base/units.ts';
import { isNetworkName, type NetworkName } from '../bitcoin/network.ts';
import { feeAt } from '../chain/fee-rate.ts';
import { stateAmounts } from './amounts.ts';
import { isTxid, isVout, readHex, readRecord } from './fields.ts';
import { type LadderChild, MAX_CHILDREN, makeLadderChildren, readLadderChild } from './ladder-children.ts';
import { type ChannelParams, channelFacts, channelIdOf } from './params.ts';
import { signAndFinalizeRefund } from './refund.ts';
import type { Signer } from './signer.ts';
import { refundVsize } from './sizes.ts';
import type { SignedTransaction } from './spend.ts';
import { type SignedState, signAndFinalizeState } from './states.ts';

/** A complete close of the channel at one fee rate: anyone who has it can broadcast it. */
export type LadderRung = SignedTransaction & { readonly satPerKvb: number };

/**
 * The newest state of one channel as transactions, with what they spend and by when: enough to close the
 * channel without ledger or keys, and of no use to steal from it.
 */
export type Ladder = {
  readonly network: NetworkName;
  /** Contract id and channel id, 64 hex digits each. */
  readonly contractId: string;
  readonly channelId: string;
  /** The state: number, cumulative work in hashes, cumulative pay in sats. */
  readonly n: number;
  readonly workHashes: bigint;
  readonly paidSat: bigint;
  /** The miner's part of the state in sats, before the fee. */
  readonly minerSat: bigint;
  readonly funding: {
    readonly txid: string;
    readonly vout: number;
    readonly valueSat: bigint;
    /** The output script, P2WSH. */
    readonly script: Uint8Array;
  };
  /**
   * Block heights of the steps of a close: ask the other side, broadcast a rung, expiry. `urgentHeight` is
   * from when programs without fee caps accept any fee.
   */
  readonly deadlines: Deadlines;
  /** True once this side closes without the other: a rung may be broadcast at once. */
  readonly isClosing: boolean;
  /** True for the refund of the maker, which no block takes before the expiry; the state is 0 then. */
  readonly isRefund: boolean;
  /** Complete closes, lowest fee first. */
  readonly rungs: readonly LadderRung[];
  /** Children of the last rung, lowest fee first; none in the refund. */
  readonly children: readonly LadderChild[];
  /** Wall time in ms. */
  readonly writtenAtMs: number;
};

type Deadlines = {
  readonly askHeight: number;
  readonly broadcastHeight: number;
  readonly urgentHeight: number;
  readonly expiryHeight: number;
};

/** Blocks before the expiry at which each step of a close begins. */
export type LadderMargins = {
  readonly askBlocks: number;
  readonly broadcastBlocks: number;
  readonly urgentBlocks: number;
};

const FORMAT = 'sharestream-ladder';
const REFUND_FORMAT = 'sharestream-refund';
const VERSION = 1;
/** With children, which programs of before do not know. */
const CHILDREN_VERSION = 2;
const MAX_RUNGS = 8;
/** Longest text of a ladder file: eight rungs of 300 virtual bytes in hex are under 8 kB. */
export const MAX_LADDER_CHARS = 64 * 1024;

/**
 * Makes the ladder of a state: every rung verified and signed as the miner. Throws `bad_signature` for a
 * state whose signatures do not verify, `bad_key_file` for another signer.
 */
export function makeLadder(
  params: ChannelParams,
  state: SignedState,
  margins: LadderMargins,
  signer: Signer,
  nowMs: number,
  isClosing = false,
): Ladder {
  const { terms } = params;
  const { expiryHeight } = terms;
  const rungs = state.signatures.map((_signature, rung) => ({
    satPerKvb: terms.feeLadderSatPerKvb[rung]!,
    ...signAndFinalizeState(params, state, rung, signer),
  }));
  return {
    ...headOf(params, nowMs),
    n: state.n,
    workHashes: state.workHashes,
    paidSat: state.paidSat,
    minerSat: stateAmounts(terms, state.workHashes).minerSat,
    deadlines: {
      askHeight: Math.max(0, expiryHeight - margins.askBlocks),
      broadcastHeight: Math.max(0, expiryHeight - margins.broadcastBlocks),
      urgentHeight: Math.max(0, expiryHeight - margins.urgentBlocks),
      expiryHeight,
    },
    isClosing,
    isRefund: false,
    rungs,
    children: makeLadderChildren(rungs.at(-1)!, params.minerPayoutScript, signer),
  };
}

/**
 * Makes the ladder of the maker's refund, at the rates of the terms of which it pays no more than half of the
 * channel. Throws as `signAndFinalizeRefund`.
 */
export function makeRefundLadder(params: ChannelParams, signer: Signer, nowMs: number): Ladder {
  const { terms } = params;
  const { capacitySat, script } = channelFacts(params);
  const { expiryHeight } = terms;
  const vsize = refundVsize(script, params.makerPayoutScript);
  const rates = terms.feeLadderSatPerKvb.filter((rate) => feeAt(vsize, rate) * 2n <= capacitySat);
  return {
    ...headOf(params, nowMs),
    ...{ n: 0, workHashes: 0n, paidSat: 0n, minerSat: 0n },
    deadlines: {
      ...{ askHeight: expiryHeight, broadcastHeight: expiryHeight },
      ...{ urgentHeight: expiryHeight, expiryHeight },
    },
    ...{ isClosing: false, isRefund: true },
    rungs: rates.map((satPerKvb) => ({ satPerKvb, ...signAndFinalizeRefund(params, satPerKvb, signer) })),
    children: [],
  };
}

function headOf(
  params: ChannelParams,
  nowMs: number,
): Pick<Ladder, 'network' | 'contractId' | 'channelId' | 'funding' | 'writtenAtMs'> {
  const { capacitySat, outputScript } = channelFacts(params);
  return {
    network: params.terms.network,
    contractId: params.contractId,
    channelId: channelIdOf(params),
    funding: { ...params.funding, valueSat: capacitySat, script: outputScript },
    writtenAtMs: Math.max(0, Math.floor(nowMs)),
  };
}

function bodyOf(ladder: Ladder): { readonly [key: string]: Json } {
  const { funding, deadlines } = ladder;
  return {
    format: ladder.isRefund ? REFUND_FORMAT : FORMAT,
    version: ladder.children.length > 0 ? CHILDREN_VERSION : VERSION,
    network: ladder.network,
    contract_id: ladder.contractId,
    channel_id: ladder.channelId,
    n: ladder.n,
    work_hashes: ladder.workHashes.toString(),
    paid_sat: ladder.paidSat.toString(),
    miner_sat: ladder.minerSat.toString(),
    funding: {
      txid: funding.txid,
      vout: funding.vout,
      value_sat: funding.valueSat.toString(),
      script: toHex(funding.script),
    },
    ask_height: deadlines.askHeight,
    broadcast_height: deadlines.broadcastHeight,
    urgent_height: deadlines.urgentHeight,
    expiry_height: deadlines.expiryHeight,
    closing: ladder.isClosing,
    rungs: ladder.rungs.map((rung) => ({
      sat_per_kvb: rung.satPerKvb,
      fee_sat: rung.feeSat.toString(),
      vsize: rung.vsize,
      txid: rung.txid,
      hex: rung.hex,
    })),
    ...(ladder.children.length > 0
      ? { children: ladder.children.map(({ satPerKvb, hex }) => ({ sat_per_kvb: satPerKvb, hex })) }
      : {}),
    written_at_ms: ladder.writtenAtMs,
  };
}

function checksumOf(body: { readonly [key: string]: Json }): string {
  return toHex(taggedHash('sharestream/ladder/1', new TextEncoder().encode(canonicalJson(body))));
}

/** Prints a ladder file: one line of JSON with a checksum over the canonical rest. */
export function printLadder(ladder: Ladder): string {
  const body = bodyOf(ladder);
  return `${JSON.stringify({ ...body, checksum: checksumOf(body) })}\n`;
}

/**
 * Parses and checks a ladder file: checksum, shape, and that each rung spends the funding, pays the fee it
 * says, and carries the script that the funding is locked by. Throws `bad_ladder`, with `meta.type` `torn`
 * for an incomplete file, `version` for one of a later program, `content` for the rest.
 */
export function parseLadder(text: string): Ladder {
  if (text.length > MAX_LADDER_CHARS) return refuse('torn', 'the file is too large');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return refuse('torn', 'the file is not whole');
  }
  try {
    return readLadder(value);
  } catch (error) {
    if (codeOf(error) !== 'protocol') throw error;
    return refuse('content', (error as Error).message);
  }
}

function refuse(type: 'torn' | 'version' | 'content', why: string): never {
  throw new CodedError('bad_ladder', why, { type });
}

const FIELDS = ['network', 'contract_id', 'channel_id', 'n', 'work_hashes', 'paid_sat', 'miner_sat'];
const HEIGHTS = ['ask_height', 'broadcast_height', 'urgent_height', 'expiry_height'];

function readLadder(value: unknown): Ladder {
  const head = value as { readonly format?: unknown; readonly version?: unknown } | null;
  const isRefund = head?.format === REFUND_FORMAT;
  const isLadder = isRefund || head?.format === FORMAT;
  const { version } = head ?? {};
  const hasChildren = version === CHILDREN_VERSION;
  if (isLadder && version !== VERSION && !hasChildren) refuse('version', `version ${version}`);
  const record = readRecord(value, 'ladder', [
    ...['format', 'version', 'checksum', 'funding', 'closing', 'rungs', 'written_at_ms'],
    ...[...FIELDS, ...HEIGHTS, ...(hasChildren ? ['children'] : [])],
  ]);
  if (!isLadder) refuse('content', 'it is no ladder');
  const { network } = record;
  if (!isNetworkName(network)) return refuse('content', 'the network is not known');
  const funding = readFunding(record['funding']);
  const deadlines = readDeadlines(record);
  const rungs = readRungs(record['rungs'], funding, isRefund ? deadlines.expiryHeight : 0);
  const ladder: Ladder = {
    network,
    contractId: toHex(readHex(record['contract_id'], 'contract_id', 32)),
    channelId: toHex(readHex(record['channel_id'], 'channel_id', 32)),
    n: readCount(record, 'n'),
    workHashes: parseDecimal(record['work_hashes'], 'work_hashes'),
    paidSat: parseDecimal(record['paid_sat'], 'paid_sat'),
    minerSat: parseDecimal(record['miner_sat'], 'miner_sat'),
    funding,
    deadlines,
    isClosing: readFlag(record, 'closing'),
    isRefund,
    rungs,
    children: hasChildren ? readChildren(record['children'], rungs.at(-1)!) : [],
    writtenAtMs: readCount(record, 'written_at_ms'),
  };
  const isWhole = record['checksum'] === checksumOf(bodyOf(ladder));
  return isWhole ? ladder : refuse('content', 'the checksum is another');
}

function readCount(record: Record<string, unknown>, name: string): number {
  const value = record[name];
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    return refuse('content', `${name} must be an integer from 0`);
  return value;
}

function readFlag(record: Record<string, unknown>, name: string): boolean {
  const value = record[name];
  return typeof value === 'boolean' ? value : refuse('content', `${name} must be true or false`);
}

function readDeadlines(record: Record<string, unknown>): Deadlines {
  const [ask, broadcast, urgent, expiry] = HEIGHTS.map((name) => readCount(record, name));
  if (ask! > broadcast! || broadcast! > urgent! || urgent! > expiry! || expiry! > 499_999_999)
    refuse('content', 'the heights must rise to the expiry');
  return { askHeight: ask!, broadcastHeight: broadcast!, urgentHeight: urgent!, expiryHeight: expiry! };
}

function readFunding(value: unknown): Ladder['funding'] {
  const record = readRecord(value, 'funding', ['txid', 'vout', 'value_sat', 'script']);
  const { txid, vout } = record;
  if (!isTxid(txid) || !isVout(vout)) return refuse('content', 'the funding is no outpoint');
  const script = readHex(record['script'], 'funding.script', 34);
  return { txid, vout, valueSat: parseDecimal(record['value_sat'], 'funding.value_sat'), script };
}

function readRungs(value: unknown, funding: Ladder['funding'], locktime: number): readonly LadderRung[] {
  if (!Array.isArray(value) || value.length < 1 || value.length > MAX_RUNGS)
    return refuse('content', `a ladder has 1 to ${MAX_RUNGS} rungs`);
  const rungs = value.map((each) => readRung(each, funding, locktime));
  rungs.forEach((rung, index) => {
    const below = rungs[index - 1];
    if (below !== undefined && (rung.satPerKvb <= below.satPerKvb || rung.feeSat <= below.feeSat))
      refuse('content', 'the fees must rise');
  });
  return rungs;
}

function readChildren(value: unknown, rung: LadderRung): readonly LadderChild[] {
  if (!Array.isArray(value) || value.length < 1 || value.length > MAX_CHILDREN)
    return refuse('content', `a ladder has up to ${MAX_CHILDREN} children`);
  let { feeSat, satPerKvb } = rung;
  return value.map((each) => {
    const record = readRecord(each, 'child', ['sat_per_kvb', 'hex']);
    const hex = toHex(readHex(record['hex'], 'child.hex'));
    const child = readLadderChild(hex, readCount(record, 'sat_per_kvb'), rung);
    if (child.feeSat <= feeSat || child.satPerKvb <= satPerKvb)
      refuse('content', 'the fees of children must rise');
    ({ feeSat, satPerKvb } = child);
    return child;
  });
}

function readRung(value: unknown, funding: Ladder['funding'], locktime: number): LadderRung {
  const record = readRecord(value, 'rung', ['sat_per_kvb', 'fee_sat', 'vsize', 'txid', 'hex']);
  const hex = toHex(readHex(record['hex'], 'rung.hex'));
  let transaction: Transaction;
  try {
    transaction = Transaction.fromHex(hex);
  } catch {
    return refuse('content', 'a rung is no transaction');
  }
  const [input, ...others] = transaction.ins;
  const script = input?.witness.at(-1);
  const spends =
    others.length === 0 &&
    input !== undefined &&
    script !== undefined &&
    transaction.locktime === locktime &&
    equal(input.hash, reversed(fromHex(funding.txid, 32))) &&
    input.index === funding.vout &&
    equal(concat(Uint8Array.of(0x00, 0x20), sha256(script)), funding.script);
  if (!spends) refuse('content', 'a rung does not spend the funding');
  const outSat = transaction.outs.reduce((total, output) => total + output.value, 0n);
  const rung: LadderRung = {
    satPerKvb: readCount(record, 'sat_per_kvb'),
    feeSat: funding.valueSat - outSat,
    vsize: transaction.virtualSize(),
    txid: transaction.getId(),
    hex,
  };
  const isAsSaid =
    transaction.toHex() === hex &&
    rung.feeSat > 0n &&
    record['fee_sat'] === rung.feeSat.toString() &&
    record['vsize'] === rung.vsize &&
    record['txid'] === rung.txid;
  return isAsSaid ? rung : refuse('content', 'a rung is not what the file says of it');
}
