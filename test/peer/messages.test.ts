import fc from 'fast-check';
import * as ecc from 'tiny-secp256k1';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import { ShareTree } from '../../src/channel/share-tree.ts';
import {
  authCodec,
  codecsOf,
  helloCodec,
  type MethodName,
  methods,
  type Params,
  type Result,
} from '../../src/peer/messages.ts';
import { workJobCodec } from '../../src/peer/work-codecs.ts';
import { makeTerms } from '../channel/fixtures.ts';

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
const none = fc.constant({});
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

type Samples = {
  readonly [M in MethodName]: {
    readonly params: fc.Arbitrary<Params<M>>;
    readonly result: fc.Arbitrary<Result<M>>;
  };
};

const samples: Samples = {
  'contract.propose': {
    params: fc.record({
      terms: fc.record({ nonceHex: hex(16), minDepth: fc.integer({ min: 1, max: 144 }) }).map(makeTerms),
      signature: hex(64),
    }),
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
    result: fc.record(
      {
        outcome: fc.constantFrom('accepted', 'refused', 'timeout', 'lost'),
        code: fc.integer({ min: -(2 ** 31), max: 2 ** 31 }),
        reason: fc.string({ maxLength: 200 }),
        rttMs: fc.nat({ max: 2 ** 31 }),
      },
      { requiredKeys: ['outcome'] },
    ),
  },
  'work.batch': {
    params: fc.record({
      contractId,
      firstSeq: seq,
      shares: fc.array(share, { minLength: 1, maxLength: 8 }),
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
      },
      { requiredKeys: ['contractId', 'n', 'state', 'nextSeq'] },
    ),
    result: fc.record({
      n,
      state: fc.option(state, { nil: undefined }),
      nextSeq: seq,
      verifiedWork: amount,
    }),
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

const names = Object.keys(methods) as MethodName[];
const overWire = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

function checkRoundTrip<M extends MethodName>(name: M): void {
  const { params, result } = codecsOf(name);
  fc.assert(
    fc.property(samples[name].params as fc.Arbitrary<Params<M>>, (message) => {
      expect(params.parse(overWire(params.print(message)))).toEqual(message);
    }),
    { numRuns: 40 },
  );
  fc.assert(
    fc.property(samples[name].result as fc.Arbitrary<Result<M>>, (message) => {
      expect(result.parse(overWire(result.print(message)))).toEqual(message);
    }),
    { numRuns: 40 },
  );
}

function refusal(run: () => unknown): string | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return error.code;
  }
}

describe('messages', () => {
  it.each(names)('%s is parsed as it was printed', (name) => checkRoundTrip(name));

  it('are refused with a code, never with a crash, whatever the JSON', () => {
    fc.assert(
      fc.property(fc.constantFrom(...names), fc.json(), (name, text) => {
        const value: unknown = JSON.parse(text);
        for (const codec of [methods[name].params, methods[name].result, helloCodec, authCodec]) {
          const code = refusal(() => codec.parse(value));
          expect([undefined, 'protocol', 'bad_terms', 'bad_funding']).toContain(code);
        }
      }),
    );
  });

  it('are refused with one field missing, unknown or of another kind', () => {
    const message = fc.sample(samples['work.batch'].params, 1)[0]!;
    const { params } = codecsOf('work.batch');
    const wire = params.print(message) as Record<string, unknown>;
    expect(refusal(() => params.parse({ ...wire, more: 1 }))).toBe('protocol');
    for (const key of Object.keys(wire)) {
      const { [key]: _left, ...rest } = wire;
      expect(refusal(() => params.parse(rest))).toBe('protocol');
      for (const wrong of [null, true, -1, 1.5, 'x', '-1', '01', {}, []]) {
        expect(refusal(() => params.parse({ ...wire, [key]: wrong }))).toBe('protocol');
      }
    }
    const many = Array.from({ length: 1025 }, () => (wire['shares'] as unknown[])[0]);
    expect(refusal(() => params.parse({ ...wire, shares: many }))).toBe('protocol');
  });

  it('give a job as the maker spells it, and none that cannot be one', () => {
    const prevHash = Uint8Array.from({ length: 32 }, (_, index) => index);
    const job = {
      ...{ id: 0x2a, version: 0x20000000, prevHash, coinb1: Uint8Array.of(1), coinb2: Uint8Array.of(2, 3) },
      ...{ branches: [new Uint8Array(32).fill(7)], bits: 0x1d00ffff, time: 0x65000000 },
      ...{ extranonce1: Uint8Array.of(0xab), extranonce2Size: 8, versionMask: 0x1fffe000 },
      ...{ upstreamTarget: 0xffffn << 208n, shareTarget: 2n ** 255n - 1n, clean: true },
    };
    const wire = {
      ...{ id: '2a', version: '20000000', coinb1: '01', coinb2: '0203', nbits: '1d00ffff' },
      prevhash: '03020100070605040b0a09080f0e0d0c13121110171615141b1a19181f1e1d1c',
      ...{ merkle_branches: ['07'.repeat(32)], ntime: '65000000', extranonce1: 'ab', extranonce2_size: 8 },
      ...{ version_mask: '1fffe000', upstream_target: `00000000ffff${'0'.repeat(52)}` },
      ...{ share_target: `7f${'ff'.repeat(31)}`, clean: true },
    };
    expect(workJobCodec.print(job)).toEqual(wire);
    expect(workJobCodec.parse(wire)).toEqual(job);
    const bad = [
      { share_target: '00'.repeat(32) },
      { share_target: `80${'00'.repeat(31)}` },
      { upstream_target: 'ff'.repeat(32) },
      { nbits: '00000000' },
      { coinb2: '00'.repeat(32 * 1024 - 9) },
      { extranonce2_size: 33 },
      { merkle_branches: Array.from({ length: 33 }, () => '07'.repeat(32)) },
      { clean: 1 },
      { id: '0x2a' },
    ];
    for (const change of bad)
      expect(refusal(() => workJobCodec.parse({ ...wire, ...change }))).toBe('protocol');
    const full = { ...wire, coinb2: '00'.repeat(32 * 1024 - 10) };
    expect(refusal(() => workJobCodec.parse(full))).toBeUndefined();
  });

  it('spell bytes in lower case and numbers as decimal strings', () => {
    const { params } = codecsOf('close.sig');
    const wire = params.print({
      contractId: 'ab'.repeat(32),
      n: 3,
      feeSat: 2n ** 70n,
      signature: 'cd'.repeat(64),
    });
    expect(wire).toEqual({
      contract_id: 'ab'.repeat(32),
      n: 3,
      fee_sat: '1180591620717411303424',
      signature: 'cd'.repeat(64),
    });
    const upper = { ...(wire as object), signature: 'CD'.repeat(64) };
    expect(refusal(() => params.parse(upper))).toBe('protocol');
  });
});
