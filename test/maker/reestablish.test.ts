import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { codeOf } from '../../src/base/errors.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { signedStateToJson, signState } from '../../src/channel/states.ts';
import type { LedgerEntry } from '../../src/ledger/ledger.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { MakerStore } from '../../src/maker/maker-store.ts';
import { call, handler } from '../../src/peer/calls.ts';
import { assembleChannel } from '../../src/settlement/opening.ts';
import { loadContract } from '../../src/settlement/records.ts';
import { backup, restore } from './backup.ts';
import { connectAsMiner, serveAsMaker } from './impostors.ts';
import { MortalLedger, SHARE, until, World } from './world.ts';

async function stateReached(world: World, n: number): Promise<void> {
  await until(`state ${n}`, () => {
    return world.miner.status.signed?.n === n && world.maker.status[0]?.ackedN === n;
  });
}

describe('reestablish', () => {
  it('a miner restored from a backup gets the newest state again, byte for byte', async () => {
    const world = new World();
    await world.open();
    await world.work(4);
    await stateReached(world, 1);
    const old = await backup(world.minerStore, world.contractId);
    await world.work(8);
    await until('state 2', () => (world.miner.status.signed?.n ?? 0) >= 2);
    await until('acked', () => world.maker.status[0]!.ackedN === world.maker.status[0]!.n);
    const { n } = world.maker.status[0]!;
    await world.miner.stop();
    const ledger = await restore(old);
    world.minerLedger = ledger;
    await world.startMiner();
    await until('newest state', () => world.miner.status.signed?.n === n);
    const states = await world.states(ledger.store);
    expect(states.get(n)).toBe((await world.states(world.makerStore)).get(n));
    // Its evidence is lost, so it cannot go on; it closes with all it was paid.
    expect(world.miner.status.live).toBe(false);
    await until('closing', () => world.miner.status.channel === 'closing');
    await world.stop();
  });

  it('a maker restored from a backup takes over its own newer state, and no share twice', async () => {
    const world = new World();
    await world.open();
    await world.work(4);
    await stateReached(world, 1);
    const old = await backup(world.makerStore, world.contractId);
    const replayed = world.find(world.job(), 4);
    await world.deliver(replayed);
    await stateReached(world, 2);
    void world.maker.close();
    world.makerLedger = await restore(old);
    await world.startMaker();
    await until('taken over', () => world.maker.status[0]?.n === 2);
    await until('ready', () => world.maker.status[0]!.connected && world.miner.status.connected);
    expect(world.maker.status[0]).toMatchObject({ verifiedWorkHashes: 8n * SHARE.workHashes, ackedN: 2 });
    // On the old tip the maker cannot know what it has paid: nothing there counts any more.
    await world.deliver(replayed.slice(0, 2));
    await until('refused', () => world.miner.stats.refused['maker_restored'] === 2);
    world.chain.generate(1);
    await world.work(4);
    await stateReached(world, 3);
    expect(world.miner.status.signed?.workHashes).toBe(12n * SHARE.workHashes);
    await world.stop();
  });

  it('two contents for one number freeze the channel, with both kept', async () => {
    const world = new World();
    await world.open();
    await world.work(4);
    await stateReached(world, 1);
    void world.maker.close();
    const deps = {
      ledger: world.makerStore,
      clock: systemClock,
      timers: systemTimers,
      log: silentLogger,
      signer: world.makerSigner,
    };
    const store = (await MakerStore.load(world.contractId, deps))!;
    const keys = world.makerSigner.forChannel(store.contract.channelIndex);
    const other = signState(store.assembled!.params, 1, 3n * SHARE.workHashes, keys);
    const entries = (await backup(world.makerStore, world.contractId)).map((entry): LedgerEntry => {
      if (entry.type !== 'put' || entry.kind !== 'state' || !entry.id.endsWith(':0000000001')) return entry;
      return { ...entry, body: JSON.stringify(signedStateToJson(other)) };
    });
    world.makerLedger = await restore(entries);
    await world.startMaker();
    await until('frozen', () => world.maker.status[0]?.frozen !== undefined);
    expect(world.maker.status[0]).toMatchObject({ channel: 'open', n: 1 });
    const [proof] = await world.makerLedger.store.list('equivocation');
    expect(proof?.id).toBe(`${world.contractId}:0000000001`);
    expect(Object.keys(JSON.parse(proof!.body) as object)).toEqual(['held', 'shown']);
    await until('told', () => world.miner.status.lastError === 'equivocation');
    await world.stop();
  });

  it('work found while the maker was away is taken up to the agreed exposure', async () => {
    const world = new World({ terms: { staleGraceSeconds: 0 } });
    await world.open();
    await world.work(4);
    await stateReached(world, 1);
    // The header of the next block has whole seconds: later than the last contact.
    await new Promise((resolve) => setTimeout(resolve, 1100));
    await world.maker.close();
    await until('gone', () => !world.miner.status.connected);
    // 3 steps may be unpaid and 4 of these shares are a step; what is beyond one step more is not taken.
    await world.deliver(world.find(world.job(), 18));
    expect(world.miner.status.live).toBe(false);
    world.chain.generate(1);
    await world.startMaker();
    await until('paid', () => world.miner.status.signed?.workHashes === 20n * SHARE.workHashes);
    await until('all judged', () => world.miner.status.refusedWorkHashes === 2n * SHARE.workHashes);
    // The block was replaced just now: a race, for all the maker can tell.
    expect(world.maker.status[0]!.refused).toEqual({ stale_race: 2 });
    await until('live', () => world.miner.status.live);
    await world.stop();
  });
});

describe('the four cases of reestablishing, over a broken connection', () => {
  /** What passes when the miner connects again, seen from the stored states. */
  async function again(world: World): Promise<void> {
    await world.maker.close();
    await until('gone', () => !world.miner.status.connected);
    world.makerLedger = new MortalLedger(world.makerStore);
    await world.startMaker();
    await until('back', () => world.miner.status.connected && world.maker.status[0]!.connected);
  }

  it('equal: nothing is sent again, and the next state is the next number', async () => {
    const world = new World();
    await world.open();
    await world.work(4);
    await stateReached(world, 1);
    const before = await world.states(world.minerStore);
    await again(world);
    expect(await world.states(world.minerStore)).toEqual(before);
    expect(world.miner.stats.statesTaken).toBe(1);
    await until('live', () => world.miner.status.live);
    await world.work(4);
    await stateReached(world, 2);
    expect(world.maker.status[0]!.sharesCredited).toBe(4);
    await world.stop();
  });

  it('the miner is one behind, as its ack was lost: the same state comes again, and counts once', async () => {
    const world = new World();
    await world.open();
    await world.work(4);
    await stateReached(world, 1);
    world.minerLedger.deathAt = (entries) =>
      entries.some(({ kind }) => kind === 'state') ? 'before' : undefined;
    await world.work(4);
    await until('died', () => world.minerLedger.isDead);
    expect(world.maker.status[0]).toMatchObject({ n: 2, ackedN: 1 });
    await world.restartMiner();
    await stateReached(world, 2);
    expect(await world.states(world.minerStore)).toEqual(await world.states(world.makerStore));
    await world.work(4);
    await stateReached(world, 3);
    await world.stop();
  });

  it.each([
    ['without the state', undefined, 'wrong_state_number'],
    ['with a state that another key signed', 'forged', 'bad_signature'],
  ])('the miner says it is ahead %s: refused, and nothing changes', async (_name, proof, code) => {
    const world = new World();
    await world.open();
    await world.work(4);
    await stateReached(world, 1);
    await world.miner.stop();
    const { contractId } = world;
    const { last } = (await loadContract(world.minerStore, contractId))!;
    const forged = { ...last!, n: 2, workHashes: 2n * last!.workHashes, paidSat: 2n * last!.paidSat };
    const peer = await connectAsMiner(world);
    const state = proof === undefined ? undefined : forged;
    const asked = call(peer, 'channel.reestablish', { contractId, n: 2, state, nextSeq: 8 });
    expect(await asked.then(() => 'taken', codeOf)).toBe(code);
    expect(world.maker.status[0]).toMatchObject({ n: 1, frozen: undefined });
    peer.close();
    await world.stop();
  });

  it('both are restored from copies as old: they go on from there, and lose the difference', async () => {
    const world = new World();
    await world.open();
    await world.work(4);
    await stateReached(world, 1);
    const maker = await backup(world.makerStore, world.contractId);
    const miner = await backup(world.minerStore, world.contractId);
    await world.work(4);
    await stateReached(world, 2);
    await world.stop();
    // A signer that remembers by itself would bring state 2 back: `signer-memory.test.ts`.
    world.makerLedger = await restore(maker);
    world.minerLedger = await restore(miner);
    await world.startMaker();
    await world.startMiner();
    await until('agreed', () => world.miner.status.connected);
    expect(world.miner.status.signed?.n).toBe(1);
    expect(world.maker.status[0]).toMatchObject({ n: 1, verifiedWorkHashes: 4n * SHARE.workHashes });
    await until('live', () => world.miner.status.live);
    await world.work(4);
    await stateReached(world, 2);
    await world.stop();
  });

  it('the maker shows the miner no state above its own: it takes none, and signs nothing on it', async () => {
    const world = new World();
    await world.open();
    await world.work(4);
    await stateReached(world, 1);
    await world.work(4);
    await stateReached(world, 2);
    const before = await world.states(world.minerStore);
    await world.maker.close();
    const { opening, contract } = (await loadContract(world.makerStore, world.contractId))!;
    const { params } = assembleChannel(contract.terms, opening!.open, opening!.accept!);
    const keys = world.makerSigner.forChannel(contract.channelIndex);
    const state = (n: number, shares: bigint) => signState(params, n, shares * SHARE.workHashes, keys);
    let answer: { readonly n: number; readonly state?: ReturnType<typeof state> } = { n: 3 };
    await world.miner.stop();
    const close = await serveAsMaker(world, {
      'channel.reestablish': handler('channel.reestablish', async ({ nextSeq }) => ({
        ...{ nextSeq, verifiedWork: 8n * SHARE.workHashes, state: undefined },
        ...answer,
      })),
    });
    world.minerLedger = new MortalLedger(world.minerStore);
    await world.startMiner();
    for (const [shown, code] of [
      [{ n: 3 }, 'wrong_state_number'],
      [{ n: 3, state: state(3, 8n) }, 'not_monotone'],
      [{ n: 1 }, 'wrong_state_number'],
      [{ n: 3, state: state(3, 7n) }, 'not_monotone'],
      [{ n: 0 }, 'wrong_state_number'],
      // More work, and signatures of another state.
      [{ n: 3, state: { ...state(3, 9n), signatures: state(3, 8n).signatures } }, 'bad_signature'],
      [{ n: 4 }, 'wrong_state_number'],
      [{ n: 1, state: state(1, 9n) }, 'not_monotone'],
    ] as const) {
      answer = shown;
      await until(code, () => world.miner.status.lastError === code);
      expect(world.miner.status).toMatchObject({ connected: false, frozen: undefined, signed: { n: 2 } });
    }
    expect(await world.states(world.minerStore)).toEqual(before);
    await world.miner.stop();
    await close();
  });

  it('the maker shows the miner two contents for one number: it keeps both, and closes', async () => {
    const world = new World();
    await world.open();
    await world.work(4);
    await stateReached(world, 1);
    await world.maker.close();
    const { opening, contract } = (await loadContract(world.makerStore, world.contractId))!;
    const { params } = assembleChannel(contract.terms, opening!.open, opening!.accept!);
    const keys = world.makerSigner.forChannel(contract.channelIndex);
    const other = signState(params, 1, 3n * SHARE.workHashes, keys);
    await world.miner.stop();
    const close = await serveAsMaker(world, {
      'channel.reestablish': handler('channel.reestablish', async ({ nextSeq }) => {
        return { n: 1, state: other, nextSeq, verifiedWork: 4n * SHARE.workHashes };
      }),
    });
    world.minerLedger = new MortalLedger(world.minerStore);
    await world.startMiner();
    await until('frozen', () => world.miner.status.frozen !== undefined);
    expect(world.miner.status).toMatchObject({ live: false, signed: { n: 1 } });
    await until('closed alone', () => world.chain.mempoolEntries().length === 1);
    const [proof] = await world.minerStore.list('equivocation');
    expect(proof?.id).toBe(`${world.contractId}:0000000001`);
    await world.miner.stop();
    await close();
  });
});
