import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { signCommitment, verifyCommitment } from '../../src/channel/commitment.ts';
import { EMPTY_FAULT_LOG, type Fault, faultLogHead } from '../../src/channel/fault-log.ts';
import { NO_WEIGHTS, weighedRoot } from '../../src/channel/share-weights.ts';
import { headOfState } from '../../src/contract/event-chain.ts';
import { MinerCommitments } from '../../src/miner/miner-commitments.ts';
import type { CommitmentOffer } from '../../src/peer/commitment-codecs.ts';
import { commitmentOf, isOfFormat, loadCommitments } from '../../src/settlement/commitments.ts';
import { makerSigner, seedOf } from '../channel/fixtures.ts';
import { NEWEST, Pair, refusal } from './commitment-pair.ts';

describe('commitments of both sides', () => {
  it('agree whatever was refused, whichever states were countersigned, and over restarts', async () => {
    const step = fc.oneof(
      fc.record({
        type: fc.constant('work' as const),
        job: fc.constantFrom(0, 1, 2, 101),
        isTaken: fc.boolean(),
        code: fc.constantFrom('share_low', 'stale_race'),
        isHeard: fc.boolean(),
      }),
      fc.record({ type: fc.constant('sign' as const), isAcked: fc.boolean() }),
      fc.record({
        type: fc.constant('restart' as const),
        hasFaultLog: fc.boolean(),
        isWeighed: fc.boolean(),
      }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const pair = new Pair();
        let signedAt = 0;
        for (const each of steps) {
          if (each.type === 'work') await pair.work(each.job, each.isTaken, each.code, each.isHeard);
          else if (each.type === 'restart') {
            await pair.restart();
            pair.hasFaultLog = each.hasFaultLog;
            pair.isWeighed = each.isWeighed;
          } else if (pair.credited > signedAt) {
            const { state, offer } = await pair.sign();
            signedAt = pair.credited;
            expect(offer).toBeDefined();
            if (!each.isAcked) continue;
            const signature = await pair.countersign(state, offer!);
            expect(signature).toBeDefined();
            expect(isOfFormat(offer!, pair.format)).toBe(true);
            expect(await pair.countersign(state, offer!)).toBe(signature);
            await pair.acked(state.n, signature);
            const record = pair.miner.newest!;
            verifyCommitment(pair.params, commitmentOf(record), 'maker', record.makerSignature);
            verifyCommitment(pair.params, commitmentOf(record), 'miner', record.minerSignature!);
            expect(record.tree.count).toBe(pair.credited);
            const { contractId } = pair.params;
            const [ours, theirs] = await Promise.all(
              [pair.makerLedger, pair.minerLedger].map((ledger) =>
                loadCommitments(ledger, contractId, pair.n),
              ),
            );
            expect(commitmentOf(ours!.base!)).toEqual(commitmentOf(theirs!.base!));
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  it('of a state that is sent again are the same, and acked again with the same signature', async () => {
    const pair = new Pair();
    await pair.work(1);
    const { state, offer } = await pair.sign();
    const signature = await pair.countersign(state, offer!);
    await pair.restart();
    expect(pair.maker.offerOf(1, NEWEST)).toEqual(offer);
    expect(await pair.countersign(state, offer!)).toBe(signature);
    await pair.acked(1, signature);
    expect(pair.maker.offerOf(1, NEWEST)).toBeUndefined();
  });

  it('cap at the work of the contract, and end at the share that reaches it', async () => {
    const pair = new Pair(2n);
    await pair.work(1);
    await pair.work(1, false);
    await pair.work(2);
    await pair.work(2, false);
    const { state, offer } = await pair.sign();
    expect(offer).toMatchObject({
      nextSeq: 3,
      refused: [],
      faults: [{ first: 1, count: 1, code: 'share_low' }],
    });
    expect(await pair.countersign(state, offer!)).toBeDefined();
  });

  it('cover the part of the evidence that a state pays, where a claim came before more work', async () => {
    const pair = new Pair();
    for (const job of [1, 1, 2]) await pair.work(job);
    const { state, offer } = await pair.sign(2);
    expect(offer).toMatchObject({ nextSeq: 2, baseN: 0 });
    await pair.acked(state.n, await pair.countersign(state, offer!));
    const next = await pair.sign();
    expect(next.offer).toMatchObject({ nextSeq: 3, baseN: 1 });
    expect(await pair.countersign(next.state, next.offer!)).toBeDefined();
  });
});

describe('the miner', () => {
  it('refuses what its own log does not bear out, and signs none of it', async () => {
    const pair = new Pair();
    for (const [job, isTaken] of [
      [1, true],
      [1, false],
      [2, true],
    ] as const)
      await pair.work(job, isTaken);
    const { state, offer } = await pair.sign();
    const resigned = async (changes: Partial<CommitmentOffer>): Promise<string> => {
      const other = { ...offer!, ...changes };
      const { n, workHashes } = state;
      const signature = signCommitment(pair.params, { ...other, n, workHashes }, makerSigner);
      return refusal(pair.countersign(state, { ...other, signature }));
    };
    expect(await resigned({ shareRoot: seedOf('x') })).toBe('bad_commitment');
    // The first is kept, with the signature, whatever comes after it.
    const kept = pair.miner.disputed!;
    const { n, workHashes } = kept;
    expect(kept).toMatchObject({
      n: state.n,
      workHashes: state.workHashes,
      offer: { shareRoot: seedOf('x') },
    });
    verifyCommitment(pair.params, { ...kept.offer, n, workHashes }, 'maker', kept.offer.signature);
    expect(await resigned({ jobSetRoot: seedOf('x') })).toBe('bad_commitment');
    expect(await resigned({ faultLogHead: seedOf('x') })).toBe('bad_commitment');
    expect(await resigned({ nextSeq: 2 })).toBe('bad_commitment');
    const root = pair.maker.pending!.tree.root();
    const weightsHead = offer!.weightsHead!;
    expect(weighedRoot(root, weightsHead)).toEqual(offer!.shareRoot);
    expect(await resigned({ shareRoot: root })).toBe('bad_commitment');
    expect(await resigned({ shareRoot: weighedRoot(seedOf('x'), weightsHead) })).toBe('bad_commitment');
    expect(await resigned({ shareRoot: weighedRoot(root, NO_WEIGHTS) })).toBe('bad_commitment');
    expect(await resigned({ nextSeq: 4 })).toBe('bad_commitment');
    const [fault] = offer!.faults!;
    for (const faults of [
      [],
      [{ ...fault!, first: 0 }],
      [{ ...fault!, count: 9 }],
      [{ ...fault!, evidence: 'jobless' as const }],
      [{ ...fault!, evidence: 'none' as const }],
      [{ ...fault!, code: 'stale_race' }],
    ])
      expect(await resigned({ faults })).toBe('bad_commitment');
    expect(await resigned({ refused: [{ first: 1, count: 1 }] })).toBe('bad_commitment');
    expect(await refusal(pair.countersign(state, { ...offer!, shareRoot: seedOf('x') }))).toBe(
      'bad_signature',
    );
    expect(pair.miner.newest).toBeUndefined();
    expect(await resigned({})).toBe('taken');
    expect(await resigned({ nextSeq: 3, shareRoot: seedOf('x') })).toBe('bad_commitment');
    await pair.restart();
    const { signature, shareRoot } = kept.offer;
    expect(pair.miner.disputed).toMatchObject({
      n,
      workHashes,
      why: kept.why,
      offer: { signature, shareRoot },
    });
  });

  it('refuses a fault log with another reason than it was answered, also after a crash', async () => {
    for (const isHeard of [true, false]) {
      const pair = new Pair();
      await pair.work(1);
      await pair.work(1, false, 'share_low', isHeard);
      await pair.work(1);
      await pair.restart();
      const { state, offer } = await pair.sign();
      const lied = offer!.faults!.map((fault) => ({
        ...fault,
        code: 'stale_race',
      })) as unknown as readonly Fault[];
      const head = faultLogHead(EMPTY_FAULT_LOG, lied);
      const { n, workHashes } = state;
      const other = { ...offer!, faults: lied, faultLogHead: head };
      const signature = signCommitment(pair.params, { ...other, n, workHashes }, makerSigner);
      const signed = await refusal(pair.countersign(state, { ...other, signature }));
      expect(signed).toBe(isHeard ? 'bad_commitment' : 'taken');
    }
  });

  it('names what was refused in runs where the other side has no fault logs', async () => {
    const pair = new Pair();
    pair.hasFaultLog = false;
    for (const isTaken of [true, false, false, true, false, true]) await pair.work(1, isTaken);
    const { state, offer } = await pair.sign();
    expect(offer).toMatchObject({
      refused: [
        { first: 1, count: 2 },
        { first: 4, count: 1 },
      ],
    });
    expect(await pair.countersign(state, offer!)).toBeDefined();
  });

  it('signs no commitment that denies what was refused, nor one without a log where both have them', async () => {
    const pair = new Pair();
    await pair.work(1);
    await pair.work(1, false);
    await pair.work(1);
    pair.hasFaultLog = false;
    const first = await pair.sign();
    expect(first.offer).toMatchObject({ refused: [{ first: 1, count: 1 }] });
    pair.hasFaultLog = true;
    expect(await pair.countersign(first.state, first.offer!)).toBeUndefined();
    await pair.work(1);
    const second = await pair.sign();
    expect(second.offer).toMatchObject({ baseN: 0, faults: [{ first: 1, count: 1 }] });
    pair.hasFaultLog = false;
    expect(await refusal(pair.countersign(second.state, second.offer!))).toBe('bad_commitment');
    expect(pair.maker.offerOf(second.state.n, { ...NEWEST, hasFaultLog: false })).toBeUndefined();
    pair.hasFaultLog = true;
    expect(await pair.countersign(second.state, second.offer!)).toBeDefined();
    expect(
      pair.miner.shownTo(new Set(['state_commitments', 'share_weights', 'event_log'])),
    ).not.toHaveProperty('faults');
    expect(pair.miner.shownTo(new Set(['state_commitments', 'fault_log']))).toBeUndefined();
  });

  it('signs no commitment without what shares are credited for, where both can have that signed', async () => {
    const pair = new Pair();
    await pair.work(1);
    pair.isWeighed = false;
    const first = await pair.sign();
    pair.isWeighed = true;
    expect(await pair.countersign(first.state, first.offer!)).toBeUndefined();
    await pair.work(1);
    const second = await pair.sign();
    pair.isWeighed = false;
    expect(pair.maker.offerOf(second.state.n, pair.format)).toBeUndefined();
    expect(await refusal(pair.countersign(second.state, second.offer!))).toBe('bad_commitment');
    pair.isWeighed = true;
    await pair.acked(second.state.n, await pair.countersign(second.state, second.offer!));
    await pair.work(2);
    pair.isWeighed = false;
    const third = await pair.sign();
    expect(third.offer!.weightsHead).toBeUndefined();
    expect(await pair.countersign(third.state, third.offer!)).toBeDefined();
  });

  it('signs the head of the events with each state, where both know it, and no other head', async () => {
    const pair = new Pair();
    await pair.work(1);
    pair.hasEvents = false;
    const first = await pair.sign();
    expect(first.offer!.eventsHead).toBeUndefined();
    await pair.acked(1, await pair.countersign(first.state, first.offer!));
    pair.hasEvents = true;
    await pair.work(1);
    const second = await pair.sign();
    const { contractId, terms } = pair.params;
    // Behind a commitment without a head it begins anew.
    expect(second.offer!.eventsHead).toEqual(headOfState(contractId, terms, undefined, second.state));
    // Signed with another head it is another commitment.
    const other = { ...second.offer!, eventsHead: seedOf('other') };
    expect(await refusal(pair.countersign(second.state, other))).toBe('bad_signature');
    const signature = signCommitment(pair.params, { ...other, ...second.state }, makerSigner);
    expect(await refusal(pair.countersign(second.state, { ...other, signature }))).toBe('bad_commitment');
    await pair.acked(2, await pair.countersign(second.state, second.offer!));
    await pair.work(2);
    const third = await pair.sign();
    const signed = { workHashes: second.state.workHashes, eventsHead: second.offer!.eventsHead! };
    expect(third.offer!.eventsHead).toEqual(headOfState(contractId, terms, signed, third.state));
    // One that is signed is not shown, and one that waits not offered, where it cannot be read.
    const older = new Set(['state_commitments', 'share_weights', 'fault_log'] as const);
    expect(pair.miner.shownTo(older)).toBeUndefined();
    pair.hasEvents = false;
    expect(pair.maker.offerOf(third.state.n, pair.format)).toBeUndefined();
    expect(await refusal(pair.countersign(third.state, third.offer!))).toBe('bad_commitment');
  });

  it('says nothing of a commitment that builds on one it does not have', async () => {
    const pair = new Pair();
    await pair.work(1);
    const first = await pair.sign();
    await pair.acked(1, await pair.countersign(first.state, first.offer!));
    pair.miner = MinerCommitments.create();
    await pair.work(1);
    const next = await pair.sign();
    expect(await pair.countersign(next.state, next.offer!)).toBeUndefined();
  });
});
