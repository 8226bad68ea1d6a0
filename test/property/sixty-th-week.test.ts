import { Transaction } from 'bitcoinjs-lib';
import { expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { owedSat } from '../../src/base/units.ts';
import { targetOfDifficulty, targetToHex } from '../../src/bitcoin/target.ts';
import { closeFeeFor, finalizeClose, signClose, verifyClose } from '../../src/channel/close.ts';
import { MonotoneSigner } from '../../src/channel/monotone-signer.ts';
import { type SignedState, signAck, verifyAck, verifyState } from '../../src/channel/states.ts';
import { flooredText, parseSale } from '../../src/config/sale-text.ts';
import { Invalid, msatPerEh } from '../../src/config/values.ts';
import { checkQuote, type QuoteRequest, termsOfQuote } from '../../src/contract/quote.ts';
import { isDelivering, PENDING_STREAM, type StreamEvent, transition } from '../../src/contract/stream.ts';
import { contractIdOf } from '../../src/contract/terms.ts';
import { signTerms, verifyTermsSignature } from '../../src/settlement/opening.ts';
import {
  EH,
  makeParams,
  makerSigner,
  makeTerms,
  minerSigner,
  strangerSigner,
} from '../channel/fixtures.ts';

const WORDS = '30 sats for 60TH/minute for 1 week';
const HEIGHT = 900_000;
/** A share each five seconds. */
const SHARE_HASHES = 3n * 10n ** 14n;

/** What the words say, as the terms that a miner asks for and a maker quotes. */
function contracted() {
  const sale = parseSale(WORDS);
  if (sale instanceof Invalid) throw new Error(sale.why);
  const { minerNodeId, makerNodeId } = makeTerms();
  const workTotalHashes = sale.hashesPerSecond! * sale.seconds!;
  const target = targetToHex(targetOfDifficulty(65_536));
  const request: QuoteRequest = {
    ...{ side: 'sell', workTotalHashes, stepHashes: EH / 10n, maxUnpaidSteps: 3, expiryBlocks: 1548 },
    ...{ target: { easiestHex: target, hardestHex: target }, binding: 'work' },
  };
  const terms = termsOfQuote(request, {
    ...{
      network: 'regtest',
      minerNodeId,
      makerNodeId,
      price: { type: 'fixed', msatPerEh: msatPerEh(sale.price) },
    },
    ...{ height: HEIGHT, minDepth: 3, staleGraceSeconds: 30, nonceHex: '60'.repeat(16) },
    binding: {
      ...{ type: 'work', extranonce2Bytes: 8, withdrawalsPerBlock: 480, solutionsPerMinute: 1200 },
      foreignChain: false,
    },
  });
  checkQuote(request, terms, {
    ...{ network: 'regtest', minerNodeId, makerNodeId, height: HEIGHT, floorMsatPerEh: 8_333_333n },
    ...{ maxMinDepth: 3, minStaleGraceSeconds: 30, minExtranonce2Bytes: 8, maxWithdrawalsPerBlock: 480 },
    ...{ minSolutionsPerMinute: 1200, foreignChain: false },
  });
  return { sale, terms };
}

it('a seventh of the week is paid by its work, and is no completed contract', () => {
  const { terms } = contracted();
  let miner = PENDING_STREAM;
  const feed = (event: StreamEvent) => {
    const next = transition({ terms, role: 'miner' }, miner, event, 0);
    miner = next.state;
    return next.effects;
  };
  feed({ type: 'state_signed', n: 0, workHashes: 0n, paidSat: 0n });
  feed({ type: 'funded', confirmations: 3 });
  feed({ type: 'channel_open' });
  const workHashes = terms.workTotalHashes / 7n;
  const paidSat = owedSat(workHashes, 8_333_333n);
  feed({ type: 'work_verified', workHashes });
  feed({ type: 'state_signed', n: 1, workHashes, paidSat });
  expect(paidSat).toBe(43_199n);
  // Time alone moves nothing; an end before its time is called what it is.
  feed({ type: 'tick' });
  expect(miner).toMatchObject({ status: 'live', endReason: undefined });
  expect(feed({ type: 'close_requested' })).toContainEqual({ type: 'ending', reason: 'close_requested' });
  expect(miner).toMatchObject({ endReason: 'close_requested', signed: { paidSat } });
});

it('30 sats for 60 TH a minute for a week: contracted, delivered, paid and closed', () => {
  const { sale, terms } = contracted();
  // 0.0036 EH a minute; 8,333.33 sat an EH, of which the part of a msat is the maker's.
  expect((sale.hashesPerSecond! * 60n * 10_000n) / EH).toBe(36n);
  expect(flooredText(sale.price)).toBe('8333.33... sat/EH, floored to 8333333 msat/EH');
  expect(terms.workTotalHashes).toBe((36_288n * EH) / 1000n);
  expect(owedSat(terms.workTotalHashes, 8_333_333n)).toBe(302_399n);
  for (const signer of [minerSigner, makerSigner]) {
    const nodeId = signer === minerSigner ? terms.minerNodeId : terms.makerNodeId;
    verifyTermsSignature(terms, nodeId, signTerms(terms, signer));
    expect(() => verifyTermsSignature(terms, nodeId, signTerms(terms, strangerSigner))).toThrow();
  }

  const params = makeParams({ contractId: contractIdOf(terms) }, terms);
  const states = new MonotoneSigner({ params }, { signer: makerSigner });
  const sides = { miner: PENDING_STREAM, maker: PENDING_STREAM };
  const feed = (role: 'miner' | 'maker', event: StreamEvent, nowMs: number) => {
    const { state, effects } = transition({ terms, role }, sides[role], event, nowMs);
    sides[role] = state;
    return effects;
  };
  let last: SignedState | undefined;
  /** Signed by the maker, verified and acked by the miner. */
  const sign = (n: number, workHashes: bigint, nowMs: number): void => {
    const state = states.sign(n, workHashes);
    verifyState(params, last, state);
    verifyAck(params, state, signAck(params, state, minerSigner));
    last = state;
    const { paidSat } = state;
    for (const role of ['miner', 'maker'] as const)
      feed(role, { type: 'state_signed', n, workHashes, paidSat }, nowMs);
  };
  sign(0, 0n, 0);
  for (const role of ['miner', 'maker'] as const) {
    feed(role, { type: 'funded', confirmations: 3 }, 0);
    feed(role, { type: 'channel_open' }, 0);
  }

  let workHashes = 0n;
  let minutes = 0;
  for (let nowMs = 5_000; sides.maker.status === 'live'; nowMs += 5_000) {
    expect(isDelivering(sides.miner)).toBe(true);
    workHashes += SHARE_HASHES;
    feed('miner', { type: 'work_verified', workHashes }, nowMs);
    for (const effect of feed('maker', { type: 'work_verified', workHashes }, nowMs))
      if (effect.type === 'sign_due') sign(effect.n, effect.workHashes, nowMs);
    minutes = nowMs / 60_000;
  }
  expect(minutes).toBe(7 * 24 * 60);
  // The last partial step is paid too, and nothing is left.
  expect(last).toMatchObject({ workHashes: terms.workTotalHashes, paidSat: 302_399n });
  expect(sides.miner.signed).toEqual(sides.maker.signed);
  expect([sides.miner.status, sides.maker.status]).toEqual(['ending', 'ending']);

  const feeSat = closeFeeFor(params, last!, 2_000);
  const signatures = {
    miner: signClose(params, last!, feeSat, 'miner', minerSigner),
    maker: signClose(params, last!, feeSat, 'maker', makerSigner),
  };
  verifyClose(params, last!, feeSat, 'maker', signatures.maker);
  const { outs } = Transaction.fromHex(finalizeClose(params, last!, feeSat, signatures).hex);
  const satTo = (script: Uint8Array): bigint =>
    outs.filter((out) => toHex(out.script) === toHex(script)).reduce((sum, { value }) => sum + value, 0n);
  expect(satTo(params.minerPayoutScript)).toBe(302_399n + terms.minerReserveSat - feeSat);
  expect(satTo(params.makerPayoutScript)).toBe(terms.budgetSat - 302_399n + terms.reserveSat);
});
