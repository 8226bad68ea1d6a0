import { CodedError } from '../base/errors.ts';
import type { Json } from '../base/json.ts';
import type { Bids } from '../chain/watcher.ts';
import { type ChannelIndex, channelSteps } from '../channel/channel-index.ts';
import { parseSignedState, type SignedState, signedStateToJson } from '../channel/states.ts';
import { withSignedUpdates } from '../channel/update-signatures.ts';
import { hasBondOutputs } from '../contract/bond-terms.ts';
import { updatesOf } from '../contract/updated-terms.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import {
  type Codec,
  type CodecValue,
  decimal,
  hexOf,
  hexUpTo,
  integer,
  nullable,
  object,
  oneOf,
  text,
} from '../peer/codec.ts';
import { termsCodec } from '../peer/market-codecs.ts';
import { methods } from '../peer/messages.ts';
import { agreedUpdatesCodec } from '../peer/update-codecs.ts';

/**
 * The kinds of ledger documents about a contract, on both sides; the id is the contract id unless noted:
 *
 * | kind | op | body |
 * |---|---|---|
 * | `contract` | insert, put | terms and both signatures, and the updates that both signed |
 * | `updates` | put | the update that waits, and those taken back (`update-records.ts`) |
 * | `opening` | put | the `channel.open` message and its answer |
 * | `funding` | insert | the signed funding transaction, hex |
 * | `state` | insert | one signed state; id `<contract>:<n, ten digits>` |
 * | `channel` | put | status and newest state: small, written with every state |
 * | `bids` | put | what this side bids on the chain, and since when it waits |
 * | `delivery` | put | how far the peer has taken the evidence |
 * | `ack` | put | maker: the miner's receipt of the newest state |
 * | `seal` | put | the newest claim of the seal, and what the next one builds on (`seal-records.ts`) |
 * | `blob` | put | of earlier versions: what the other side left here, sealed (`peer-blobs.ts`) |
 * | `award` | put | a bond's spend with both signatures, hex; id `<contract>:<txid>:<vout>` |
 * | `watched` | put | the close is so deep that the channel's output needs no more watching |
 * | `remains` | put | bonds and seal are settled too: nothing of the channel is left on the chain |
 * | `request` | put | what a cold key is to sign, a PSBT; id `<contract>:<what>` |
 * | `commitment` | put | what a state commits to, and its signatures; id as a state (`commitments.ts`) |
 * | `refusals` | put | maker: the shares not credited since the newest commitment |
 * | `luck` | put | maker: solutions among the credited shares against those to be expected |
 * | `restored` | put | maker: this ledger was an older copy when the tip had this height; id `maker` |
 * | `minutes` | put | reports of one side in an hour; id `<contract>:<side>:<hour>` (`minute-records.ts`) |
 * | `notices` | put | pauses, notice of the end, what was given up (`notice-records.ts`) |
 * | `equivocation` | insert | both contents of one state number; id as a state |
 * | `metering`, `metered` | insert, put | a contract without a channel (`metering-records.ts`) |
 */
export const CONTRACT_KIND = 'contract';
export const OPENING_KIND = 'opening';
export const FUNDING_KIND = 'funding';
export const STATE_KIND = 'state';
export const CHANNEL_KIND = 'channel';
export const BIDS_KIND = 'bids';
export const DELIVERY_KIND = 'delivery';
export const ACK_KIND = 'ack';
export const REQUEST_KIND = 'request';
export const SEAL_KIND = 'seal';
export const BLOB_KIND = 'blob';
export const AWARD_KIND = 'award';
export const REMAINS_KIND = 'remains';
export const WATCHED_KIND = 'watched';
export const EQUIVOCATION_KIND = 'equivocation';
export const RESTORED_KIND = 'restored';
export const LUCK_KIND = 'luck';
export const COMMITMENT_KIND = 'commitment';
export const REFUSALS_KIND = 'refusals';
export const UPDATES_KIND = 'updates';
export const DISPUTED_KIND = 'disputed_commitment';

const role = oneOf('miner', 'maker');
const signature = hexOf(64);
const count = integer(0, Number.MAX_SAFE_INTEGER);
const channelIndexCodec: Codec<ChannelIndex> = {
  parse: (value) => {
    const isIndex = typeof value === 'number' || typeof value === 'string';
    if (!isIndex || channelSteps(value) === undefined)
      throw new CodedError('protocol', 'channel_index must be an index');
    return value;
  },
  print: (index) => index,
};

const storedContractCodec = object(
  {
    version: ['version', integer(1, 1)],
    role: ['role', role],
    terms: ['terms', termsCodec],
    minerSignature: ['miner_signature', signature],
    makerSignature: ['maker_signature', signature],
    /** Index of the channel, which selects its keys of the seed (`SeedSigner.forChannel`). */
    channelIndex: ['channel_index', channelIndexCodec],
  },
  { updates: ['updates', agreedUpdatesCodec] },
);
/** The content of `contract` documents; the terms with the updates that both signed. */
export type ContractRecord = Omit<CodecValue<typeof storedContractCodec>, 'updates'>;

/** Codec of `contract` documents. Throws also `bad_signature`. */
export const contractCodec: Codec<ContractRecord> = {
  parse: (value) => {
    const { updates, ...record } = storedContractCodec.parse(value);
    return updates === undefined ? record : { ...record, terms: withSignedUpdates(record.terms, updates) };
  },
  print: (record) => {
    const updates = updatesOf(record.terms);
    return storedContractCodec.print(updates.length === 0 ? record : { ...record, updates });
  },
};

/** Codec of `opening` documents. */
export const openingCodec = object({
  version: ['version', integer(1, 1)],
  open: ['open', methods['channel.open'].params],
  /** Null until the maker has answered. */
  accept: ['accept', nullable(methods['channel.open'].result)],
});
/** The content of `opening` documents. */
export type OpeningRecord = CodecValue<typeof openingCodec>;

/**
 * The stored statuses of a channel. `opening` until the funding is signed by both, `funding` until it is
 * deep enough, `open` while states are signed, `closing` once a transaction that spends the channel is
 * signed, `closed` when that is deep. `frozen` and `failed` wait for a person.
 */
export const CHANNEL_STATUSES = [
  'opening',
  'funding',
  'open',
  'closing',
  'closed',
  'frozen',
  'failed',
] as const;
export type ChannelStatus = (typeof CHANNEL_STATUSES)[number];

export const channelCodec = object(
  {
    version: ['version', integer(1, 1)],
    role: ['role', role],
    status: ['status', oneOf(...CHANNEL_STATUSES)],
    /** The reason for being frozen, failed or closing; empty otherwise. */
    reason: ['reason', text(300)],
    fundingTxid: ['funding_txid', hexOf(32)],
    fundingVout: ['funding_vout', integer(0, 0xffff_ffff)],
    /** Number of the newest state on disk. */
    n: ['n', count],
    workHashes: ['work', decimal],
    paidSat: ['paid_sat', decimal],
    /** The transaction in hex that spends the channel, once there is one. */
    closeTx: ['close_tx', nullable(hexUpTo(100_000))],
    /** Fee in sats of the cooperative close that this side has signed. */
    closeFeeSat: ['close_fee_sat', nullable(decimal)],
  },
  /** Miner: tip height at which the cooperative close was asked for. */
  { askedHeight: ['asked_height', integer(0, 0xffff_ffff)] },
);
/** The content of `channel` documents. */
export type ChannelRecord = CodecValue<typeof channelCodec>;

const since = nullable(integer(0, 0xffff_ffff));
/** Codec of `bids` documents. */
const bidsCodec = object({
  version: ['version', integer(1, 1)],
  /** What the newest children and the spend of the own coins pay, sats; 0 without one. */
  childFeeSat: ['child_fee_sat', decimal],
  pushFeeSat: ['push_fee_sat', decimal],
  cancelFeeSat: ['cancel_fee_sat', decimal],
  /** Heights since which each waits (`WatchState`). */
  bidSince: ['bid_since', since],
  pushSince: ['push_since', since],
  cancelSince: ['cancel_since', since],
  waitsSince: ['waits_since', since],
  lostSince: ['lost_since', since],
});

const deliveryRequired = {
  version: ['version', integer(1, 1)],
  /** Seq of the miner's stream: the maker judged everything before it. */
  nextSeq: ['next_seq', count],
  /** The miner's own work up to there, hashes. */
  ownWorkHashes: ['own_work', decimal],
  /** The part of it that the maker credited, hashes. */
  verifiedWorkHashes: ['verified_work', decimal],
  /** Wall time in ms of the maker's last contact with the miner; 0 at the miner. */
  contactAtMs: ['contact_at_ms', count],
  /**
   * Maker: after a restore, shares on blocks up to this height may have been credited before; 0 otherwise.
   */
  restoredHeight: ['restored_height', count],
} as const;
/**
 * Miner, once work was refused: the parts of it, hashes (`RefusedWork`), and the seq before which the maker
 * may give no reasons any more.
 */
const deliveryOptional = {
  confirmedHashes: ['confirmed', decimal],
  racedHashes: ['raced', decimal],
  explainedSeq: ['explained', count],
} as const;
export const deliveryCodec = object(deliveryRequired, deliveryOptional);
/** The content of `delivery` documents. */
export type DeliveryRecord = CodecValue<typeof deliveryCodec>;

/** The delivery record before the first batch. */
export const NOTHING_DELIVERED: DeliveryRecord = {
  version: 1,
  nextSeq: 0,
  ownWorkHashes: 0n,
  verifiedWorkHashes: 0n,
  contactAtMs: 0,
  restoredHeight: 0,
};

export const signedStateCodec: Codec<SignedState> = { parse: parseSignedState, print: signedStateToJson };

/** The document id of a state: `<contract>:<n, ten digits>`. */
export function stateDocumentId(contractId: string, n: number): string {
  return `${contractId}:${n.toString().padStart(10, '0')}`;
}

export function contractEntry(contractId: string, record: ContractRecord): LedgerEntry {
  return { type: 'insert', kind: CONTRACT_KIND, id: contractId, body: bodyOf(contractCodec, record) };
}

/** The ledger entry of a contract whose terms have one more update. */
export function updatedContractEntry(contractId: string, record: ContractRecord): LedgerEntry {
  return { type: 'put', kind: CONTRACT_KIND, id: contractId, body: bodyOf(contractCodec, record) };
}

export function openingEntry(contractId: string, record: OpeningRecord): LedgerEntry {
  return { type: 'put', kind: OPENING_KIND, id: contractId, body: bodyOf(openingCodec, record) };
}

/** The ledger entry of the signed funding transaction, in hex. */
export function fundingEntry(contractId: string, fundingTx: string): LedgerEntry {
  return { type: 'insert', kind: FUNDING_KIND, id: contractId, body: fundingTx };
}

/** The ledger entry of a signed state. */
export function stateEntry(contractId: string, state: SignedState): LedgerEntry {
  const id = stateDocumentId(contractId, state.n);
  return { type: 'insert', kind: STATE_KIND, id, body: bodyOf(signedStateCodec, state) };
}

export function channelEntry(contractId: string, record: ChannelRecord): LedgerEntry {
  return { type: 'put', kind: CHANNEL_KIND, id: contractId, body: bodyOf(channelCodec, record) };
}

function bidsIn({ version: _version, ...bids }: CodecValue<typeof bidsCodec>): Bids {
  return bids;
}

/** The body of a `bids` document. */
export function bidsBody(bids: Bids): string {
  return bodyOf(bidsCodec, { version: 1, ...bids });
}

export function deliveryEntry(contractId: string, record: DeliveryRecord): LedgerEntry {
  return { type: 'put', kind: DELIVERY_KIND, id: contractId, body: bodyOf(deliveryCodec, record) };
}

/** The ledger entry of the miner's receipt for state n. */
export function ackEntry(contractId: string, n: number, ackSignature: string): LedgerEntry {
  const body = JSON.stringify({ n, signature: ackSignature });
  return { type: 'put', kind: ACK_KIND, id: contractId, body };
}

/** The document id of an award: `<contract>:<txid>:<vout>`. */
export function awardId(
  contractId: string,
  coin: { readonly txid: string; readonly vout: number },
): string {
  return `${contractId}:${coin.txid}:${coin.vout}`;
}

/** The document id of a signing request: `<contract>:<what>`. */
export function requestId(contractId: string, what: string): string {
  return `${contractId}:${what}`;
}

/**
 * The ledger entry of a signing request.
 * @param what the kind of the signing request, unique for the contract
 */
export function requestEntry(contractId: string, what: string, psbt: string): LedgerEntry {
  const body = JSON.stringify({ what, psbt });
  return { type: 'put', kind: REQUEST_KIND, id: requestId(contractId, what), body };
}

/** The ledger entry that ends the watch of the channel's output. */
export function watchedEntry(contractId: string): LedgerEntry {
  return { type: 'put', kind: WATCHED_KIND, id: contractId, body: '{"over":true}' };
}

/** The ledger entry of a channel of which nothing is left on the chain. */
export function remainsEntry(contractId: string): LedgerEntry {
  return { type: 'put', kind: REMAINS_KIND, id: contractId, body: '{"over":true}' };
}

/** The ledger entry of two well signed contents for one number, kept as evidence. */
export function equivocationEntry(contractId: string, held: SignedState, shown: SignedState): LedgerEntry {
  const body = JSON.stringify({ held: signedStateToJson(held), shown: signedStateToJson(shown) });
  return { type: 'put', kind: EQUIVOCATION_KIND, id: stateDocumentId(contractId, held.n), body };
}

/**
 * Makes a handler that logs an action that was done but not recorded: actions on the chain do not wait for
 * their record.
 */
export function unstored(contract: string, log: Logger): (error: CodedError) => void {
  return ({ code, message: detail }) =>
    log.error({ contract, code, detail }, 'not recorded; done all the same');
}

/** The status of a channel as far as the chain is concerned: a frozen channel still has to be closed. */
export function standingStatus(
  { status, closeTx, n }: ChannelRecord,
  fundingTx: string | undefined,
): Exclude<ChannelStatus, 'frozen'> {
  if (status !== 'frozen') return status;
  if (closeTx !== undefined) return 'closing';
  if (fundingTx === undefined) return 'opening';
  return n > 0 ? 'open' : 'funding';
}

/** The body of a document: a record as JSON text. */
export function bodyOf<T>(codec: Codec<T>, record: T): string {
  return JSON.stringify(codec.print(record));
}

/** The stored records of one contract. */
export type StoredContract = {
  readonly contractId: string;
  readonly contract: ContractRecord;
  readonly opening: OpeningRecord | undefined;
  readonly fundingTx: string | undefined;
  readonly channel: ChannelRecord | undefined;
  readonly bids?: Bids | undefined;
  /** The newest state. */
  readonly last: SignedState | undefined;
  readonly delivery: DeliveryRecord | undefined;
  /** Number of the newest ack. */
  readonly ackedN: number;
  /** True where two contents for one state number are stored as proof. */
  readonly isBroken: boolean;
  /** True once the close is so deep that the channel's output needs no more watching. */
  readonly isOver: boolean;
};

/**
 * Loads the records of a contract; undefined where the ledger has none. Throws `ledger_corrupt` for a body
 * that cannot be read.
 */
export async function loadContract(
  ledger: Ledger,
  contractId: string,
): Promise<StoredContract | undefined> {
  const read = async <T>(kind: string, codec: Codec<T>, id = contractId): Promise<T | undefined> => {
    const body = await ledger.get(kind, id);
    return body === undefined ? undefined : parseBody(kind, codec, body);
  };
  const contract = await read(CONTRACT_KIND, contractCodec);
  if (contract === undefined) return undefined;
  const channel = await read(CHANNEL_KIND, channelCodec);
  const bids = await read(BIDS_KIND, bidsCodec);
  const ack = await ledger.get(ACK_KIND, contractId);
  return {
    contractId,
    contract,
    opening: await read(OPENING_KIND, openingCodec),
    fundingTx: await ledger.get(FUNDING_KIND, contractId),
    channel,
    ...(bids === undefined ? {} : { bids: bidsIn(bids) }),
    last:
      channel === undefined
        ? undefined
        : await read(STATE_KIND, signedStateCodec, stateDocumentId(contractId, channel.n)),
    delivery: await read(DELIVERY_KIND, deliveryCodec),
    ackedN: ack === undefined ? -1 : Number((JSON.parse(ack) as { n: Json }).n),
    isBroken: (await ledger.list(EQUIVOCATION_KIND, `${contractId}:`)).length > 0,
    isOver: (await ledger.get(WATCHED_KIND, contractId)) !== undefined,
  };
}

/** True until a channel is closed for good, and all of its bonds and its seal are where they belong. */
export async function isUnfinished(
  { contractId, contract, channel }: StoredContract,
  ledger: Ledger,
): Promise<boolean> {
  if (channel === undefined || channel.status === 'failed') return false;
  if (channel.status !== 'closed') return true;
  if ((await ledger.get(WATCHED_KIND, contractId)) === undefined) return true;
  const { terms } = contract;
  if (!hasBondOutputs(terms) && terms.seal === undefined) return false;
  return (await ledger.get(REMAINS_KIND, contractId)) === undefined;
}

/** Loads the miner's half of an opening, which exists before the contract is accepted. */
export async function loadOpening(ledger: Ledger, contractId: string): Promise<OpeningRecord | undefined> {
  const body = await ledger.get(OPENING_KIND, contractId);
  return body === undefined ? undefined : parseBody(OPENING_KIND, openingCodec, body);
}

/** Parses the body of a document. Throws `ledger_corrupt`. */
export function parseBody<T>(kind: string, codec: Codec<T>, body: string): T {
  try {
    return codec.parse(JSON.parse(body));
  } catch (error) {
    throw new CodedError('ledger_corrupt', `a ${kind} record: ${(error as Error).message}`);
  }
}
