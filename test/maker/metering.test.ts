import { afterEach, describe, expect, it } from 'vitest';
import { codeOf } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { verifyCommitment } from '../../src/channel/commitment.ts';
import type { LedgerEntry } from '../../src/ledger/ledger.ts';
import { MakerCommitments } from '../../src/maker/maker-commitments.ts';
import { MinerCommitments } from '../../src/miner/miner-commitments.ts';
import { call } from '../../src/peer/calls.ts';
import { type CommitmentRecord, commitmentRecordCodec } from '../../src/peer/commitment-codecs.ts';
import { OFFERED_FEATURES } from '../../src/peer/features.ts';
import { commitmentOf } from '../../src/settlement/commitments.ts';
import { signTerms } from '../../src/settlement/opening.ts';
import { COMMITMENT_KIND, CONTRACT_KIND } from '../../src/settlement/records.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { connectAsMiner } from './impostors.ts';
import { Stand } from './metering-stand.ts';
import { MortalLedger, SHARE, until } from './world.ts';

const FAULT_LOG = 11;

/** The commitment among what is written. */
function recordIn(entries: readonly LedgerEntry[]): CommitmentRecord | undefined {
  const entry = entries.find(({ kind }) => kind === COMMITMENT_KIND);
  return entry === undefined || !('body' in entry)
    ? undefined
    : commitmentRecordCodec.parse(JSON.parse(entry.body as string));
}

let stand: Stand;
afterEach(async () => stand?.stop());

const STEP = 4n * SHARE.workHashes;

describe('metering without money', () => {
  it('needs no bitcoin node: each step is a total that both signed', async () => {
    stand = new Stand({}, { hasChain: false });
    await stand.start();
    await stand.work(4);
    await stand.signed(1);
    await stand.work(9);
    await stand.signed(2);
    const { miner, maker, world, terms, contractId } = stand;
    expect(miner.status.signedWorkHashes).toBe(maker!.signedWorkHashes);
    expect(maker!.verifiedWorkHashes).toBe(13n * SHARE.workHashes);
    expect(maker!.refused).toEqual({});
    for (const ledger of [world.minerLedger, world.makerLedger]) {
      const { newest } = await MinerCommitments.load(ledger, contractId, miner.status.totals);
      const scope = { contractId, terms };
      const content = commitmentOf(newest!);
      expect(content.workHashes).toBe(miner.status.signedWorkHashes);
      verifyCommitment(scope, content, 'maker', newest!.makerSignature);
      verifyCommitment(scope, content, 'miner', newest!.minerSignature!);
      expect(await ledger.list(CONTRACT_KIND)).toEqual([]);
    }
  });

  it('ends with its total work, the rest signed', async () => {
    stand = new Stand({ workTotalHashes: STEP * 2n + 1n });
    await stand.start();
    await stand.work(9);
    await until('over', () => stand.miner.status.status === 'ended' && stand.maker?.status === 'ended');
    expect(stand.maker).toMatchObject({ endReason: 'work_total', signedWorkHashes: STEP * 2n + 1n });
    expect(stand.miner.status).toMatchObject({ endReason: 'work_total', signedWorkHashes: STEP * 2n + 1n });
    expect(stand.miner.live).toBe(false);
  });

  it.each(['miner', 'maker'] as const)('ends by the %s, the rest signed', async (by) => {
    stand = new Stand();
    await stand.start();
    await stand.work(5);
    await stand.signed(1);
    if (by === 'miner') stand.miner.end();
    else await stand.world.maker.endMetering(stand.contractId);
    await until('over', () => stand.miner.status.status === 'ended' && stand.maker?.status === 'ended');
    expect(stand.maker).toMatchObject({ endReason: 'asked', signedWorkHashes: 5n * SHARE.workHashes });
    expect(stand.miner.status.signedWorkHashes).toBe(5n * SHARE.workHashes);
  });

  it('ends at its height', async () => {
    stand = new Stand({ expiryHeight: 8, fundingByHeight: 7 });
    await stand.start();
    await stand.work(1);
    await until('verified', () => (stand.maker?.verifiedWorkHashes ?? 0n) > 0n);
    stand.world.chain.generate(8);
    await until('over', () => stand.miner.status.status === 'ended' && stand.maker?.status === 'ended');
    expect(stand.maker).toMatchObject({ endReason: 'expiry', signedWorkHashes: SHARE.workHashes });
  });

  it('ends at its height while the maker is away, which ends it alone when it is back', async () => {
    stand = new Stand({ expiryHeight: 8, fundingByHeight: 7 });
    await stand.start();
    await stand.work(1);
    await until('verified', () => (stand.maker?.verifiedWorkHashes ?? 0n) > 0n);
    await stand.world.maker.close();
    await until('away', () => !stand.miner.status.connected);
    await stand.work(2);
    stand.world.chain.generate(8);
    await until('ending', () => stand.miner.status.status === 'ending');
    expect(stand.miner.live).toBe(false);
    await stand.startMaker();
    await until('over', () => stand.miner.status.status === 'ended' && stand.maker?.status === 'ended');
    expect(stand.maker).toMatchObject({ endReason: 'expiry' });
    expect(stand.miner.status).toMatchObject({ endReason: 'expiry' });
    await until('nobody is connected', () => !stand.miner.status.connected);
  });

  it('is ended by the maker at once while the miner is away, which hears of it when it is back', async () => {
    stand = new Stand();
    await stand.start();
    await stand.work(1);
    await until('verified', () => (stand.maker?.verifiedWorkHashes ?? 0n) > 0n);
    await stand.miner.stop();
    await until('away', () => stand.maker?.connected === false);
    await stand.world.maker.endMetering(stand.contractId);
    expect(stand.maker).toMatchObject({ status: 'ended', endReason: 'asked' });
    await stand.startMiner();
    await until('over', () => stand.miner.status.status === 'ended');
  });

  it('goes on after a restart of either, and of both', async () => {
    stand = new Stand({}, { hasChain: false });
    await stand.start();
    await stand.work(5);
    await stand.signed(1);
    expect(stand.miner.status.connected).toBe(true);
    await stand.world.maker.close();
    await until('away', () => !stand.miner.status.connected);
    expect(stand.miner.live).toBe(true);
    // Found while the maker is away.
    await stand.work(5);
    await stand.startMaker();
    await stand.signed(2);
    await stand.miner.stop();
    await stand.startMiner();
    await stand.work(5);
    await stand.signed(3);
    await stand.miner.stop();
    await stand.world.maker.close();
    await stand.startMaker();
    await stand.startMiner();
    expect(stand.miner.status.signedWorkHashes).toBeGreaterThanOrEqual(3n * STEP);
    await stand.work(5);
    await stand.signed(4);
    expect(stand.maker!.verifiedWorkHashes).toBe(20n * SHARE.workHashes);
    expect(stand.maker!.refused).toEqual({});
  });

  it('is known to a miner that starts again with nobody there, and as far as the maker says once it is', async () => {
    stand = new Stand({}, { hasChain: false });
    await stand.start();
    await stand.work(4);
    await stand.signed(1);
    await stand.work(1);
    await until('verified', () => stand.miner.status.verifiedWorkHashes === 5n * SHARE.workHashes);
    await stand.world.maker.close();
    await stand.miner.stop();
    await stand.startMiner();
    expect(stand.miner.live).toBe(true);
    expect(stand.miner.status).toMatchObject({
      ...{ connected: false, status: 'live', totals: 1, signedWorkHashes: STEP },
      ...{ ownWorkHashes: 5n * SHARE.workHashes, verifiedWorkHashes: STEP },
    });
    await stand.startMaker();
    await until('verified', () => stand.miner.status.verifiedWorkHashes === 5n * SHARE.workHashes);
    expect(stand.miner.status).toMatchObject({ connected: true, totals: 1 });
  });

  it('a maker that lost its ledger goes on from the total that both signed', async () => {
    stand = new Stand({}, { hasChain: false });
    await stand.start();
    await stand.work(5);
    await stand.signed(1);
    await stand.world.maker.close();
    stand.world.makerLedger = new MortalLedger(new MemoryLedger());
    await stand.startMaker();
    await stand.work(4);
    await stand.signed(2);
    expect(stand.maker!.verifiedWorkHashes).toBe(9n * SHARE.workHashes);
    expect(stand.miner.status.signedWorkHashes).toBe(stand.maker!.signedWorkHashes);
  });

  it.each([
    ['before it was offered', 'after', undefined],
    ['before its signature was stored', undefined, 'before'],
  ] as const)(
    'has one chain of totals over upgrades of the maker that dies %s',
    async (_, offering, signing) => {
      stand = new Stand({}, { hasChain: false });
      const { world, contractId, terms } = stand;
      const older = OFFERED_FEATURES.filter((bit) => bit !== FAULT_LOG);
      await stand.start(older);
      await stand.work(4);
      await stand.signed(1);
      for (const [n, features] of [
        [2, OFFERED_FEATURES],
        [3, older],
        [4, OFFERED_FEATURES],
      ] as const) {
        world.makerLedger.deathAt = (entries) => {
          const record = recordIn(entries);
          if (record?.n !== n) return undefined;
          return record.minerSignature === undefined ? offering : signing;
        };
        await stand.work(1);
        await stand.spoil(1);
        await stand.work(4);
        await until('dead', () => world.makerLedger.isDead);
        void world.maker.close();
        world.makerLedger = new MortalLedger(world.makerStore);
        await stand.startMaker(features);
        await stand.signed(n);
        const { newest } = await MinerCommitments.load(world.minerLedger, contractId, n);
        const last = await MakerCommitments.load(world.makerLedger, contractId, n);
        const scope = { contractId, terms };
        verifyCommitment(scope, commitmentOf(newest!), 'maker', newest!.makerSignature);
        expect(last.base?.minerSignature).toBe(newest!.minerSignature);
      }
      expect(stand.miner.status).toMatchObject({ totals: 4, refused: { share_bad: 3 } });
      expect(stand.maker!.verifiedWorkHashes).toBe(19n * SHARE.workHashes);
    },
  );

  it('is signed for one miner so often, whatever becomes of it: each is a record for ever', async () => {
    stand = new Stand({}, { policy: { maxOpenContractsPerMiner: 1000 } });
    const { world } = stand;
    const time = new VirtualTime();
    await world.startMaker({}, { clock: time.clock });
    const peer = await connectAsMiner(world);
    const propose = async (index: number): Promise<string> => {
      // A moment, for all that is asked for costs signatures.
      await time.advance(1_000);
      const terms = { ...stand.terms, nonceHex: index.toString(16).padStart(32, '0') };
      const signature = signTerms(terms, world.minerSigner);
      return call(peer, 'contract.propose', { terms, signature }).then(() => 'signed', codeOf);
    };
    const { peerProposals } = LIMITS;
    for (let index = 0; index < peerProposals; index += 1) expect(await propose(index)).toBe('signed');
    const { limitHits } = world.maker.stats;
    expect([await propose(peerProposals), limitHits['peerProposals']]).toEqual(['too_often', 1]);
    // What was signed is answered as ever.
    expect(await propose(1)).toBe('signed');
    expect(world.maker.metering.length).toBe(peerProposals);
    await time.advance(10 * 60_000);
    expect([await propose(100), await propose(101)]).toEqual(['signed', 'too_often']);
    peer.close();
  });

  it('is taken by policy alone, and by the number of those that run', async () => {
    stand = new Stand({}, { policy: { meters: false } });
    await stand.startMaker();
    await stand.startMiner();
    await until('refused', () => stand.miner.status.lastError === 'bad_terms');
    expect(stand.world.maker.metering).toEqual([]);
    await stand.stop();

    stand = new Stand({}, { policy: { maxOpenContractsPerMiner: 0 } });
    await stand.startMaker();
    await stand.startMiner();
    await until('refused', () => stand.miner.status.lastError === 'bad_terms');
  });
});
