import { CodedError } from '../base/errors.ts';
import { isRecord, type Json } from '../base/json.ts';
import { LIMITS } from '../base/limits.ts';
import { type FundingSide, fundingSideToJson, parseFundingSide } from '../channel/funding.ts';
import { parseSignedState, type SignedState, signedStateToJson } from '../channel/states.ts';
import { EXTRANONCE_ROOM, type JobRecord, jobRecordToJson, readJobRecord } from '../work/evidence.ts';
import { ShareRows } from '../work/share-rows.ts';
import { auditorMethods } from './auditor-codecs.ts';
import {
  bytesUpTo,
  type Codec,
  type CodecValue,
  decimal,
  hexOf,
  hexUpTo,
  integer,
  listOf,
  nullable,
  object,
  oneOf,
  positiveNumber,
  text,
} from './codec.ts';
import { commitmentOfferCodec, commitmentRecordCodec } from './commitment-codecs.ts';
import type { FeatureSet } from './features.ts';
import { marketMethods } from './market-codecs.ts';
import { meteringMethods } from './metering-codecs.ts';
import { minuteMethods } from './minute-codecs.ts';
import { noticeMethods } from './notice-codecs.ts';
import { packedSharesCodec, type WireShare } from './packed-shares.ts';
import { claimCodec, claimPointCodec, rangesCodec } from './seal-codecs.ts';
import { streamMethods } from './stream-codecs.ts';
import { templateMethods } from './template-codecs.ts';
import { agreedUpdatesCodec, updateMethods } from './update-codecs.ts';
import { jobId, solutionResult, u32, workMethods } from './work-codecs.ts';

/**
 * The messages between miner and maker, and of both to an auditor (`PROTOCOL.md`): one codec for parameters
 * and one for the result.
 * Sats, msat and hashes are decimal strings; bytes are lower-case hex; txids and block hashes as displayed.
 */

const contractId = hexOf(32);
const stateNumber = integer(0, 2 ** 31);
/** The number of a share in its stream; behind it there is room for more. */
const sequence = integer(0, 2 ** 52);
const script = bytesUpTo(64, 1);
const publicKey = bytesUpTo(33, 33);
const signature = hexOf(64);
const transaction = hexUpTo(LIMITS.peerLineBytes / 4, 10);
/** A blob for peer storage in base64, at most 65531 bytes (as BOLT1). */
const blob = text(LIMITS.peerBlobChars, /^[A-Za-z0-9+/]+={0,2}$/);
const empty = object<Record<never, never>>({});
/** A PSBT of version 0 (BIP174) in base64. */
const psbt = text(LIMITS.psbtChars, /^[A-Za-z0-9+/]+={0,2}$/);
/** The keys that each side brings to a channel; the terms say which of the optional ones. */
const minerKeys = object(
  { minerChannel: ['miner_channel', publicKey] },
  {
    minerBond: ['miner_bond', publicKey],
    minerExit: ['miner_exit', publicKey],
    minerSeal: ['miner_seal', publicKey],
    minerSealExit: ['miner_seal_exit', publicKey],
  },
);
const makerKeys = object(
  { makerChannel: ['maker_channel', publicKey], makerRefund: ['maker_refund', publicKey] },
  {
    makerBond: ['maker_bond', publicKey],
    makerExit: ['maker_exit', publicKey],
    makerSeal: ['maker_seal', publicKey],
  },
);

/** The first message of each side of a connection. */
export type Hello = {
  readonly protocol: number;
  readonly chainHash: string;
  readonly nodeId: string;
  readonly features: readonly number[];
  readonly nonce: string;
};

export const helloCodec: Codec<Hello> = object<Hello>({
  protocol: ['protocol', integer(0, 65_535)],
  chainHash: ['chain_hash', hexOf(32)],
  nodeId: ['node_id', hexOf(32)],
  features: ['features', listOf(integer(0, 1023), 64)],
  nonce: ['nonce', hexOf(32)],
});

export const authCodec = object({ signature: ['signature', signature] });

export type { WireShare } from './packed-shares.ts';

const stateCodec: Codec<SignedState> = { parse: parseSignedState, print: signedStateToJson };
const sideCodec: Codec<FundingSide> = { parse: parseFundingSide, print: fundingSideToJson };

const shareCodec = object<WireShare>({
  jobId: ['job', jobId],
  extranonce1: ['extranonce1', bytesUpTo(EXTRANONCE_ROOM)],
  extranonce2: ['extranonce2', bytesUpTo(EXTRANONCE_ROOM)],
  ntime: ['ntime', u32],
  nonce: ['nonce', u32],
  version: ['version', u32],
  difficulty: ['difficulty', positiveNumber],
});

const shareList = listOf(shareCodec, LIMITS.peerBatchShares, 1);
const listedSharesCodec: Codec<ShareRows> = {
  parse: (value) => ShareRows.of(shareList.parse(value)),
  print: (rows) => shareList.print(rows.shares()),
};

const listedBatch = object({
  contractId: ['contract_id', contractId],
  firstSeq: ['first_seq', sequence],
  shares: ['shares', listedSharesCodec],
  workTotal: ['work_total', decimal],
});
const packedBatch = object({
  contractId: ['contract_id', contractId],
  firstSeq: ['first_seq', sequence],
  shares: ['packed', packedSharesCodec],
  workTotal: ['work_total', decimal],
});

/** A batch of shares as a list or packed, which the name of the field tells. Printed as a list. */
const batchCodec: Codec<CodecValue<typeof listedBatch>> = {
  parse: (value) =>
    (isRecord(value) && Object.hasOwn(value, 'packed') ? packedBatch : listedBatch).parse(value),
  print: listedBatch.print,
};

/** A job as its miners received it; byte strings as they are hashed. Throws `protocol`. */
const jobCodec: Codec<JobRecord> = {
  parse: (value) => {
    try {
      return readJobRecord(value);
    } catch (error) {
      throw new CodedError('protocol', (error as Error).message);
    }
  },
  print: jobRecordToJson,
};

/** All methods by name. */
export const methods = {
  ...marketMethods,
  'channel.open': {
    params: object({
      contractId: ['contract_id', contractId],
      keys: ['keys', minerKeys],
      payoutScript: ['payout_script', script],
      funding: ['funding', sideCodec],
    }),
    result: object(
      {
        keys: ['keys', makerKeys],
        payoutScript: ['payout_script', script],
        funding: ['funding', sideCodec],
        feeRateSatPerKvb: ['fee_rate_sat_per_kvb', integer(100, 10_000_000)],
        state0: ['state0', stateCodec],
      },
      { nextSealScript: ['next_seal_script', script] },
    ),
  },
  'channel.tx_signatures': {
    params: object(
      { contractId: ['contract_id', contractId], psbt: ['psbt', psbt] },
      { claim: ['claim', claimCodec] },
    ),
    result: object({ psbt: ['psbt', psbt] }),
  },
  'channel.ready': {
    params: object({
      contractId: ['contract_id', contractId],
      txid: ['txid', hexOf(32)],
      height: ['height', integer(0, 500_000_000)],
    }),
    result: empty,
  },
  'job.announce': {
    params: object(
      { contractId: ['contract_id', contractId], job: ['job', jobCodec] },
      /** The maker's own job that it was made of. */
      { source: ['source', jobId] },
    ),
    result: empty,
  },
  ...workMethods,
  /** A block that was found with a job of the miner's own, which it may not have announced yet. */
  'work.block': {
    params: object({
      contractId: ['contract_id', contractId],
      job: ['job', jobCodec],
      /** The whole of it. */
      extranonce: ['extranonce', bytesUpTo(2 * EXTRANONCE_ROOM)],
      ntime: ['ntime', u32],
      nonce: ['nonce', u32],
      /** As hashed. */
      version: ['version', u32],
    }),
    result: solutionResult,
  },
  'work.batch': {
    params: batchCodec,
    result: object({
      nextSeq: ['next_seq', sequence],
      verifiedWork: ['verified_work', decimal],
      refused: [
        'refused',
        listOf(
          object({ seq: ['seq', sequence], code: ['code', text(40, /^[a-z_]+$/)] }),
          LIMITS.peerBatchShares,
        ),
      ],
    }),
  },
  ...templateMethods,
  ...meteringMethods,
  ...minuteMethods,
  ...auditorMethods,
  ...noticeMethods,
  ...updateMethods,
  ...streamMethods,
  'seal.claim': {
    params: object({
      contractId: ['contract_id', contractId],
      n: ['n', stateNumber],
      workHashes: ['work', decimal],
      nextSeq: ['next_seq', sequence],
      refused: ['refused', rangesCodec],
      shareRoot: ['share_root', bytesUpTo(32, 32)],
    }),
    result: object({ claim: ['claim', claimCodec] }),
  },
  'state.sign': {
    params: object(
      { contractId: ['contract_id', contractId], state: ['state', stateCodec] },
      { commitment: ['commitment', commitmentOfferCodec] },
    ),
    result: object(
      { n: ['n', stateNumber], ackSignature: ['ack_signature', signature] },
      { commitmentSignature: ['commitment_signature', signature] },
    ),
  },
  'channel.reestablish': {
    params: object(
      {
        contractId: ['contract_id', contractId],
        n: ['n', stateNumber],
        state: ['state', nullable(stateCodec)],
        nextSeq: ['next_seq', sequence],
      },
      {
        claimed: ['claimed', claimPointCodec],
        blob: ['blob', blob],
        commitment: ['commitment', commitmentRecordCodec],
        /** The updates that both signed; with the feature alone. */
        updates: ['updates', agreedUpdatesCodec],
      },
    ),
    result: object(
      {
        n: ['n', stateNumber],
        state: ['state', nullable(stateCodec)],
        nextSeq: ['next_seq', sequence],
        verifiedWork: ['verified_work', decimal],
      },
      {
        restoredHeight: ['restored_height', integer(1, 500_000_000)],
        updates: ['updates', agreedUpdatesCodec],
      },
    ),
  },
  'bond.release': {
    params: object({
      contractId: ['contract_id', contractId],
      txid: ['txid', hexOf(32)],
      vout: ['vout', integer(0, 0xffff_ffff)],
      payee: ['payee', oneOf('miner', 'maker')],
      feeRateSatPerKvb: ['fee_rate_sat_per_kvb', integer(100, 10_000_000)],
      signature: ['signature', signature],
    }),
    result: object({ signature: ['signature', signature] }),
  },
  'peer_storage.put': {
    params: object({ contractId: ['contract_id', contractId], blob: ['blob', blob] }),
    result: empty,
  },
  'peer_storage.get': {
    params: empty,
    result: object({
      blobs: [
        'blobs',
        listOf(object({ contractId: ['contract_id', contractId], blob: ['blob', blob] }), LIMITS.peerBlobs),
      ],
    }),
  },
  'channel.shutdown': {
    params: object({ contractId: ['contract_id', contractId] }),
    result: object({ n: ['n', stateNumber] }),
  },
  'close.sig': {
    params: object(
      {
        contractId: ['contract_id', contractId],
        n: ['n', stateNumber],
        feeSat: ['fee_sat', decimal],
        signature: ['signature', signature],
      },
      { settlement: ['settlement', oneOf('returned', 'miner_forfeits', 'maker_forfeits')] },
    ),
    result: object({ closeTx: ['close_tx', transaction] }),
  },
} as const;

/** The name of a method. */
export type MethodName = keyof typeof methods;
/** The parameters of a method. */
export type Params<M extends MethodName> = CodecValue<(typeof methods)[M]['params']>;
/** The result of a method. */
export type Result<M extends MethodName> = CodecValue<(typeof methods)[M]['result']>;

type MethodCodecs = {
  readonly [M in MethodName]: { readonly params: Codec<Params<M>>; readonly result: Codec<Result<M>> };
};
const codecs: MethodCodecs = methods;

/** Prints parameters in the form that suits the agreed features. */
export function printParams<M extends MethodName>(
  method: M,
  params: Params<M>,
  features: FeatureSet,
): Json {
  if (method === 'work.batch' && features.has('packed_shares'))
    return packedBatch.print(params as Params<'work.batch'>);
  return codecsOf(method).params.print(params);
}

/** The codecs of a method. */
export function codecsOf<M extends MethodName>(method: M): MethodCodecs[M] {
  return codecs[method];
}
