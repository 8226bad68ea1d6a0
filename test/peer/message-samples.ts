import fc from 'fast-check';
import * as ecc from 'tiny-secp256k1';
import { fromHex, toHex } from '../../src/base/bytes.ts';
import { ShareTree } from '../../src/channel/share-tree.ts';
import { MAKER_SAYS, MINER_SAYS } from '../../src/contract/minutes.ts';
import { PAUSE_REASONS } from '../../src/contract/notices.ts';
import type { MethodName, Params, Result } from '../../src/peer/messages.ts';
import { ShareRows } from '../../src/work/share-rows.ts';
import { makeParams, makeTerms } from '../channel/fixtures.ts';

const bytes = (size: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: size, maxLength: size }).map((value) => Uint8Array.from(value));
const bytesUpTo = (max: number, min = 0): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: min, maxLength: max }).map((value) => Uint8Array.from(value));
const hex = (size: number): fc.Arbitrary<string> => bytes(size).map(toHex);
const amount = fc.bigInt({ min: 0n, max: 10n ** 77n });
const u32 = fc.nat({ max: 0xffff_ffff });
const seq = fc.nat({ max: 2 ** 52 });
const n = fc.nat({ max: 2 ** 31 });
const script = bytesUpTo(64, 1);
const publicKey = fc
  .bigInt({ min: 1n, max: 2n ** 200n })
  .map((secret) => ecc.pointFromScalar(fromHex(secret.toString(16).padStart(64, '0')), true)!)
  .map((point) => Uint8Array.from(point));
const contractId = hex(32);
const height = fc.nat({ max: 500_000_000 });
const none = fc.constant({});
const maybe = <T>(of: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(of, { nil: undefined });
const psbt = fc.base64String({ minLength: 4, maxLength: 200 });

const side = fc.record({
  inputs: fc.array(
    fc.record({
      txid: hex(32),
      vout: u32,
      valueSat: fc.bigInt({ min: 1n, max: 2_100_000_000_000_000n }),
      publicKeyHex: publicKey.map(toHex),
    }),
    { minLength: 1, maxLength: 4 },
  ),
  changeScript: bytes(20).map((hash) => Uint8Array.of(0x00, 0x14, ...hash)),
});
const state = fc.record({
  n,
  workHashes: amount,
  paidSat: amount,
  signatures: fc.array(hex(64), { minLength: 1, maxLength: 8 }),
  receiptSignature: hex(64),
});
const claim = fc.record({ n, workHashes: amount, shareRoot: bytes(32), signature: hex(64) });
const tree = fc.array(bytes(32), { maxLength: 9 }).map((hashes) => {
  const made = new ShareTree();
  for (const hash of hashes) made.append(hash);
  return made;
});
const claimed = fc.record({ claim, nextSeq: seq, workHashes: amount, tree });
const ranges = fc.array(fc.record({ first: seq, count: fc.integer({ min: 1, max: 1000 }) }), {
  maxLength: 4,
});
const offer = fc.record({
  ...{ baseN: n, nextSeq: seq, refused: ranges, signature: hex(64) },
  ...{ shareRoot: bytes(32), jobSetRoot: bytes(32), faultLogHead: bytes(32) },
});
const commitment = fc.record({
  version: fc.constant(1),
  ...{ n, baseN: n, workHashes: amount, creditedHashes: amount, nextSeq: seq, logSeq: seq },
  ...{ refused: ranges, tree, jobSetRoot: bytes(32), faultLogHead: bytes(32) },
  makerSignature: hex(64),
  minerSignature: fc.option(hex(64), { nil: undefined }),
});
const share = fc.record({
  jobId: seq,
  extranonce1: bytesUpTo(8),
  extranonce2: bytesUpTo(8),
  ntime: u32,
  nonce: u32,
  version: u32,
  difficulty: fc.double({ min: Number.MIN_VALUE, max: 1e30, noNaN: true }),
});
const job = fc
  .record({
    id: seq,
    stream: contractId,
    version: u32,
    versionMask: u32,
    prevHash: bytes(32),
    coinb1: bytesUpTo(200),
    coinb2: bytesUpTo(200),
    branches: fc.array(bytes(32), { maxLength: 16 }),
    bits: u32,
    time: u32,
    extranonceSize: fc.nat({ max: 16 }),
    upstreamDifficulty: fc.double({ min: 0, max: 1e20, noNaN: true }).map((value) => value + 0),
  })
  .map((record) => ({ ...record, wireId: record.id.toString(16) }));

const instance = hex(16);
const target = fc.bigInt({ min: 1n, max: 2n ** 255n - 1n });
const workJob = fc.record({
  ...{ id: seq, version: u32, prevHash: bytes(32), coinb1: bytesUpTo(200), coinb2: bytesUpTo(200) },
  ...{ branches: fc.array(bytes(32), { maxLength: 32 }), bits: fc.constantFrom(0x1d00ffff, 0x207fffff) },
  ...{ time: u32, extranonce1: bytesUpTo(32), extranonce2Size: fc.nat({ max: 32 }), versionMask: u32 },
  ...{ upstreamTarget: target, shareTarget: target, clean: fc.boolean() },
});

const count = fc.nat({ max: 2 ** 30 });
const verdict = fc.record(
  {
    outcome: fc.constantFrom('accepted', 'refused', 'timeout', 'lost'),
    code: fc.integer({ min: -(2 ** 31), max: 2 ** 31 }),
    reason: fc.string({ maxLength: 200 }),
    rttMs: fc.nat({ max: 2 ** 31 }),
  },
  { requiredKeys: ['outcome'] },
);
const minuteReport = fc.record(
  {
    ...{ minute: count, height: fc.nat({ max: 1_000_000 }), heard: count },
    ...{ workHashes: amount, paidHashes: amount, says: fc.constantFrom(...MINER_SAYS, ...MAKER_SAYS) },
    notice: fc.record({ fromHeight: fc.nat(1_000_000), blocks: fc.integer({ min: 1, max: 52_560 }) }),
  },
  { requiredKeys: ['minute', 'height', 'heard', 'workHashes', 'paidHashes', 'says'] },
);

const update = fc.record(
  {
    ...{ contractIdHex: hex(32), previousHex: hex(32), number: fc.integer({ min: 1, max: 1000 }) },
    ...{ nonceHex: hex(16), fromHashes: amount, priceMsatPerEh: amount, stepHashes: amount },
    stopHeight: fc.integer({ min: 1, max: 499_999_999 }),
  },
  { requiredKeys: ['contractIdHex', 'previousHex', 'number', 'fromHashes', 'nonceHex'] },
);
const signedUpdate = fc.record({ contractId, update, signature: hex(64) });
const updates = fc.array(fc.record({ update, minerSignature: hex(64), makerSignature: hex(64) }), {
  minLength: 1,
  maxLength: 4,
});

type Samples = {
  readonly [M in MethodName]: {
    readonly params: fc.Arbitrary<Params<M>>;
    readonly result: fc.Arbitrary<Result<M>>;
  };
};

/** Messages of each method, as they may be. */
const quoteRequest = fc.record(
  {
    side: fc.constant('sell' as const),
    ...{ workTotalHashes: amount, stepHashes: amount, maxUnpaidSteps: fc.integer({ min: 1, max: 1000 }) },
    target: fc.record({ easiestHex: hex(32), hardestHex: hex(32) }),
    expiryBlocks: fc.integer({ min: 1, max: 65_535 }),
    binding: fc.constantFrom('work' as const, 'payout' as const, 'bead' as const),
    rate: fc.record({ committed: amount, min: amount, max: amount }),
    delivery: fc.record({
      ...{ windowMinutes: fc.integer({ min: 1, max: 44_640 }), tolerancePpm: fc.nat(1_000_000) },
      ...{ curtailmentBlocks: fc.nat(52_560), cureBlocks: fc.nat(4032) },
      falseDefaultAlphaPpm: fc.integer({ min: 1, max: 500_000 }),
    }),
    start: fc.record({ afterBlocks: fc.nat(52_560), withinBlocks: fc.integer({ min: 1, max: 52_560 }) }),
    durationBlocks: fc.integer({ min: 1, max: 105_120 }),
    moving: fc.record({ minMsatPerEh: amount }),
  },
  {
    requiredKeys: [
      ...(['side', 'workTotalHashes', 'stepHashes', 'maxUnpaidSteps', 'target'] as const),
      ...(['expiryBlocks', 'binding'] as const),
    ],
  },
);

export const samples: Samples = {
  'market.offer': {
    params: fc.constant({}),
    result: fc.record({ offer: fc.constant('shst1qpzry9x8gf2tvdw0s3jn54khce6mua7l') }),
  },
  'market.quote': {
    params: fc.record({ request: quoteRequest }),
    result: fc.record(
      {
        quoteId: hex(16),
        terms: fc.record({ nonceHex: hex(16) }).map(makeTerms),
        validForMs: fc.integer({ min: 1, max: 86_400_000 }),
        depositSat: amount,
        auditor: fc.record({ nodeId: hex(32), endpoint: fc.constant('auditor.example:7334') }),
      },
      { requiredKeys: ['quoteId', 'terms', 'validForMs', 'depositSat'] },
    ),
  },
  'contract.propose': {
    params: fc.record(
      {
        terms: fc.record({ nonceHex: hex(16), minDepth: fc.integer({ min: 1, max: 144 }) }).map(makeTerms),
        signature: hex(64),
        quoteId: hex(16),
      },
      { requiredKeys: ['terms', 'signature'] },
    ),
    result: fc.record({ contractId, signature: hex(64) }),
  },
  'channel.open': {
    params: fc.record({
      contractId,
      keys: fc.record(
        {
          minerChannel: publicKey,
          minerBond: publicKey,
          minerExit: publicKey,
          minerSeal: publicKey,
          minerSealExit: publicKey,
        },
        { requiredKeys: ['minerChannel'] },
      ),
      payoutScript: script,
      funding: side,
    }),
    result: fc.record(
      {
        keys: fc.record(
          {
            makerChannel: publicKey,
            makerRefund: publicKey,
            makerBond: publicKey,
            makerExit: publicKey,
            makerSeal: publicKey,
          },
          { requiredKeys: ['makerChannel', 'makerRefund'] },
        ),
        payoutScript: script,
        funding: side,
        feeRateSatPerKvb: fc.integer({ min: 100, max: 10_000_000 }),
        state0: state,
        nextSealScript: script,
      },
      { requiredKeys: ['keys', 'payoutScript', 'funding', 'feeRateSatPerKvb', 'state0'] },
    ),
  },
  'channel.tx_signatures': {
    params: fc.record({ contractId, psbt, claim }, { requiredKeys: ['contractId', 'psbt'] }),
    result: fc.record({ psbt }),
  },
  'channel.ready': {
    params: fc.record({ contractId, txid: hex(32), height: fc.nat({ max: 500_000_000 }) }),
    result: none,
  },
  'work.template': {
    params: fc.record({ contractId, jobId: seq }),
    result: fc.record({ shortIds: fc.array(hex(8), { maxLength: 40 }) }),
  },
  'work.transactions': {
    params: fc.record({
      contractId,
      jobId: seq,
      places: fc.array(fc.nat({ max: 16_599 }), { minLength: 1, maxLength: 40 }),
    }),
    result: fc.record({ transactions: fc.array(hex(60), { minLength: 1, maxLength: 40 }) }),
  },
  'job.announce': {
    params: fc.record({ contractId, job, source: seq }, { requiredKeys: ['contractId', 'job'] }),
    result: none,
  },
  'work.subscribe': { params: fc.record({ contractId, instance }), result: none },
  'work.job': { params: fc.record({ contractId, instance, job: workJob }), result: none },
  'work.gone': {
    params: fc.record(
      {
        ...{ contractId, instance, ids: fc.array(seq, { maxLength: 9 }) },
        ...{ all: fc.boolean(), code: fc.constantFrom('maker_work_down', 'no_work') },
      },
      { requiredKeys: ['contractId', 'instance', 'ids'] },
    ),
    result: none,
  },
  'work.solution': {
    params: fc.record({
      ...{ contractId, instance, id: seq, extranonce2: bytesUpTo(32) },
      ...{ ntime: u32, nonce: u32, version: u32 },
    }),
    result: verdict,
  },
  'work.block': {
    params: fc.record({
      ...{ contractId, job, extranonce: bytesUpTo(16) },
      ...{ ntime: u32, nonce: u32, version: u32 },
    }),
    result: verdict,
  },
  'work.batch': {
    params: fc.record({
      contractId,
      firstSeq: seq,
      shares: fc.array(share, { minLength: 1, maxLength: 8 }).map((shares) => ShareRows.of(shares)),
      workTotal: amount,
    }),
    result: fc.record({
      nextSeq: seq,
      verifiedWork: amount,
      refused: fc.array(fc.record({ seq, code: fc.constantFrom('share_low', 'share_stale') }), {
        maxLength: 4,
      }),
    }),
  },
  'delivery.minutes': {
    params: fc.record(
      { contractId, next: count, reports: fc.array(minuteReport, { maxLength: 5 }), signature: hex(64) },
      { requiredKeys: ['contractId', 'next', 'reports'] },
    ),
    result: fc.record(
      { next: count, reports: fc.array(minuteReport, { maxLength: 5 }), signature: hex(64) },
      { requiredKeys: ['next', 'reports'] },
    ),
  },
  'auditor.about': { params: fc.constant({}), result: fc.record({ auditorKeyHex: hex(33) }) },
  'auditor.contract': {
    params: fc.record(
      {
        ...{
          contractId,
          terms: fc.constant(makeTerms()),
          minerSignature: hex(64),
          makerSignature: hex(64),
        },
        ...{ channel: fc.constant(makeParams()), commitment },
      },
      { requiredKeys: ['contractId', 'terms', 'minerSignature', 'makerSignature', 'channel'] },
    ),
    result: fc.record({
      channel: fc.constantFrom('shared', 'alone', 'differs'),
      ...{ minerNext: count, makerNext: count },
    }),
  },
  'auditor.minutes': {
    params: fc.record(
      {
        ...{ contractId, role: fc.constantFrom('miner', 'maker'), signature: hex(64) },
        reports: fc.array(minuteReport, { minLength: 1, maxLength: 5 }),
      },
      { requiredKeys: ['contractId', 'role', 'reports'] },
    ),
    result: fc.record({ next: count }),
  },
  'auditor.ruling': {
    params: fc.record({ contractId }),
    result: fc.record({
      verdict: fc.constantFrom('miner', 'maker', 'none', 'undecided'),
      words: fc.constant('nobody is in default'),
      to: fc.option(count, { nil: undefined }),
    }),
  },
  'auditor.sign': {
    params: fc.record({
      ...{ contractId, owner: fc.constantFrom('miner', 'maker'), psbt },
      feeRateSatPerKvb: fc.integer({ min: 100, max: 10_000_000 }),
    }),
    result: fc.record({ psbt }),
  },
  'contract.pause': {
    params: fc.record({
      ...{ contractId, reason: fc.constantFrom(...PAUSE_REASONS), fromHeight: height },
      untilHeight: fc.option(height, { nil: undefined }),
    }),
    result: none,
  },
  'contract.resume': { params: fc.record({ contractId }), result: none },
  'contract.end': { params: fc.record({ contractId, height, signature: hex(64) }), result: none },
  'contract.update': { params: signedUpdate, result: none },
  'contract.stream': {
    params: fc.record({ contractId }),
    result: fc.record({
      stream: fc.record({
        ...{ stream: hex(32), sender: hex(32), recipient: hex(32), token: fc.constant('sat' as const) },
        ...{
          depositSat: amount,
          balanceSat: amount,
          updates: fc.nat({ max: 1000 }),
          n,
          workHashes: amount,
        },
        timeframe: fc.record({
          ...{ startHeight: maybe(height), stopHeight: maybe(height) },
          ...{ durationBlocks: maybe(height), expiryHeight: height },
        }),
        rate: fc.record({
          ...{ paymentMsatPerEh: amount, intervalHashes: amount, workTotalHashes: amount },
        }),
        balances: fc.record({ recipientSat: amount, senderSat: amount }),
      }),
    }),
  },
  'contract.confirm': { params: signedUpdate, result: none },
  'contract.revoke': {
    params: fc.record({ contractId, hash: hex(32), signature: hex(64) }),
    result: fc.record({ signature: hex(64) }),
  },
  'meter.attach': {
    params: fc.record({ contractId, total: commitment }, { requiredKeys: ['contractId'] }),
    result: fc.record({ nextSeq: seq, verifiedWork: amount, isEnded: fc.boolean() }),
  },
  'meter.sign': {
    params: fc.record({
      ...{ contractId, n: fc.integer({ min: 1, max: 2 ** 31 }), workHashes: amount, commitment: offer },
    }),
    result: fc.record({ signature: hex(64) }, { requiredKeys: [] }),
  },
  'meter.end': { params: fc.record({ contractId }), result: none },
  'seal.claim': {
    params: fc.record({
      contractId,
      n,
      workHashes: amount,
      nextSeq: seq,
      refused: ranges,
      shareRoot: bytes(32),
    }),
    result: fc.record({ claim }),
  },
  'state.sign': {
    params: fc.record({ contractId, state, commitment: offer }, { requiredKeys: ['contractId', 'state'] }),
    result: fc.record(
      { n, ackSignature: hex(64), commitmentSignature: hex(64) },
      { requiredKeys: ['n', 'ackSignature'] },
    ),
  },
  'channel.reestablish': {
    params: fc.record(
      {
        contractId,
        n,
        state: fc.option(state, { nil: undefined }),
        nextSeq: seq,
        claimed,
        blob: psbt,
        commitment,
        updates,
      },
      { requiredKeys: ['contractId', 'n', 'state', 'nextSeq'] },
    ),
    result: fc.record(
      {
        ...{ n, nextSeq: seq, verifiedWork: amount, updates },
        state: fc.option(state, { nil: undefined }),
      },
      { requiredKeys: ['n', 'state', 'nextSeq', 'verifiedWork'] },
    ),
  },
  'bond.release': {
    params: fc.record({
      contractId,
      txid: hex(32),
      vout: u32,
      payee: fc.constantFrom('miner', 'maker'),
      feeRateSatPerKvb: fc.integer({ min: 100, max: 10_000_000 }),
      signature: hex(64),
    }),
    result: fc.record({ signature: hex(64) }),
  },
  'peer_storage.put': { params: fc.record({ contractId, blob: psbt }), result: none },
  'peer_storage.get': {
    params: none,
    result: fc.record({ blobs: fc.array(fc.record({ contractId, blob: psbt }), { maxLength: 4 }) }),
  },
  'channel.shutdown': { params: fc.record({ contractId }), result: fc.record({ n }) },
  'close.sig': {
    params: fc.record(
      {
        contractId,
        n,
        feeSat: amount,
        signature: hex(64),
        settlement: fc.constantFrom('returned', 'miner_forfeits', 'maker_forfeits'),
      },
      { requiredKeys: ['contractId', 'n', 'feeSat', 'signature'] },
    ),
    result: fc.record({ closeTx: bytesUpTo(300, 10).map(toHex) }),
  },
};
