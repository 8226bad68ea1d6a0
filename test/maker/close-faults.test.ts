import { Transaction } from 'bitcoinjs-lib';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { codeOf } from '../../src/base/errors.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { finalizeClose, signClose } from '../../src/channel/close.ts';
import { signState } from '../../src/channel/states.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { MakerStore } from '../../src/maker/maker-store.ts';
import { call, handler } from '../../src/peer/calls.ts';
import type { Params } from '../../src/peer/messages.ts';
import type { RpcPeer } from '../../src/peer/rpc-peer.ts';
import { serveAsMaker } from './impostors.ts';
import { SHARE, until, World } from './world.ts';

const PATIENCE = 36;

async function opened(world: World = new World()): Promise<World> {
  await world.open();
  await world.work(4);
  await until('state 1', () => world.maker.status[0]!.ackedN === 1);
  return world;
}

async function makerStoreOf(world: World): Promise<MakerStore> {
  const { makerStore: ledger, makerSigner: signer } = world;
  const deps = { ledger, signer, clock: systemClock, timers: systemTimers, log: silentLogger };
  return (await MakerStore.load(world.contractId, deps))!;
}

async function recordOf(world: World): Promise<Record<string, unknown>> {
  const body = await world.minerStore.get('channel', world.contractId);
  return JSON.parse(body!) as Record<string, unknown>;
}

/** A maker that has its way with the close. The miner was connected to an honest one before. */
class Closer {
  readonly world: World;
  readonly store: MakerStore;
  asked = 0;
  peer: RpcPeer | undefined;
  #stop: () => Promise<void> = async () => {};

  private constructor(world: World, store: MakerStore) {
    this.world = world;
    this.store = store;
  }

  static async serve(
    world: World,
    answer: (asked: Params<'close.sig'>, closer: Closer) => string | Promise<string>,
  ): Promise<Closer> {
    await world.maker.close();
    const closer = new Closer(world, await makerStoreOf(world));
    closer.#stop = await serveAsMaker(
      world,
      {
        'channel.reestablish': handler('channel.reestablish', async ({ n, nextSeq }) => ({
          ...{ n, state: undefined, nextSeq, verifiedWork: closer.store.delivery.verifiedWorkHashes },
        })),
        'channel.shutdown': handler('channel.shutdown', async () => ({ n: closer.store.last!.n })),
        'close.sig': handler('close.sig', async (asked) => {
          closer.asked += 1;
          return { closeTx: await answer(asked, closer) };
        }),
      },
      (peer) => {
        closer.peer = peer;
      },
    );
    await world.restartMiner();
    await until('connected', () => world.miner.status.connected);
    return closer;
  }

  /** X as an honest maker completes it. */
  complete({ feeSat, signature: miner }: Params<'close.sig'>): Transaction {
    const { assembled, last, contract } = this.store;
    const signer = this.world.makerSigner.forChannel(contract.channelIndex);
    const maker = signClose(assembled!.params, last!, feeSat, 'maker', signer);
    return Transaction.fromHex(finalizeClose(assembled!.params, last!, feeSat, { miner, maker }).hex);
  }

  async end(): Promise<void> {
    await this.world.stop();
    await this.#stop();
  }
}

/** The same transaction, with a signature of the maker that is none. */
function spoiled(closeTx: Transaction, how: (witness: Uint8Array[]) => Uint8Array[]): string {
  const other = closeTx.clone();
  other.setWitness(0, how(other.ins[0]!.witness));
  return other.toHex();
}

describe('a close whose signature does not verify', () => {
  it.each<[string, (witness: Uint8Array[]) => Uint8Array[]]>([
    ['of the miner in its place', ([, miner, ...rest]) => [miner!, miner!, ...rest]],
    ['left out', ([, ...rest]) => [new Uint8Array(), ...rest]],
    ['without any witness', () => []],
  ])('%s is not taken for one, and the miner closes alone 36 blocks after asking', async (_name, how) => {
    const world = await opened();
    const closer = await Closer.serve(world, (asked) => spoiled(closer.complete(asked), how));
    void world.miner.close();
    await until('asked', () => closer.asked > 0);
    await until('refused', () => world.miner.status.lastError === 'bad_signature');
    expect(await recordOf(world)).toMatchObject({ status: 'closing', close_tx: null });
    world.chain.generate(PATIENCE - 1);
    await world.rest();
    expect(world.chain.mempoolEntries()).toEqual([]);
    world.chain.generate(1);
    await until('closed alone', () => world.chain.mempoolEntries().length === 1);
    expect(await recordOf(world)).toMatchObject({ status: 'closing', reason: 'alone', n: 1 });
    await closer.end();
  });

  it('a start does not begin the 36 blocks anew', async () => {
    const world = await opened();
    const closer = await Closer.serve(world, () => 'ff');
    void world.miner.close();
    await until('asked', () => closer.asked > 0);
    world.chain.generate(PATIENCE - 1);
    await world.restartMiner();
    await until('connected', () => world.miner.status.connected);
    expect(world.chain.mempoolEntries()).toEqual([]);
    world.chain.generate(1);
    await until('closed alone', () => world.chain.mempoolEntries().length === 1);
    await closer.end();
  });
});

describe('a state that comes after the close was stored', () => {
  it.each<[string, boolean]>([
    ['and is complete', true],
    ['and only signed here', false],
  ])('%s is neither stored nor acked', async (_name, isComplete) => {
    const world = await opened();
    const closer = await Closer.serve(world, (asked) =>
      isComplete ? closer.complete(asked).toHex() : new Promise<string>(() => {}),
    );
    void world.miner.close();
    await until('asked', () => closer.asked > 0);
    if (isComplete) await until('broadcast', () => world.chain.mempoolEntries().length === 1);
    await world.deliver(world.find(world.job(), 4));
    const { store } = closer;
    const keys = world.makerSigner.forChannel(store.contract.channelIndex);
    const state = signState(store.assembled!.params, 2, 8n * SHARE.workHashes, keys);
    const { contractId } = world;
    const answer = call(closer.peer!, 'state.sign', { contractId, state });
    expect(await answer.then(() => 'acked', codeOf)).toBe('wrong_status');
    expect([...(await world.states(world.minerStore)).keys()]).toEqual([0, 1]);
    expect(await recordOf(world)).toMatchObject({ status: 'closing', reason: 'cooperative', n: 1 });
    await closer.end();
  });

  it('is not acked either where the miner closed alone', async () => {
    const world = await opened();
    const closer = await Closer.serve(world, () => 'ff');
    await world.deliver(world.find(world.job(), 4));
    await world.miner.closeAlone();
    const { store } = closer;
    const keys = world.makerSigner.forChannel(store.contract.channelIndex);
    const state = signState(store.assembled!.params, 2, 8n * SHARE.workHashes, keys);
    const { contractId } = world;
    const answer = call(closer.peer!, 'state.sign', { contractId, state });
    expect(await answer.then(() => 'acked', codeOf)).toBe('wrong_status');
    await closer.end();
  });
});

describe('a close that is stored', () => {
  it('is the one whose signatures verify, whatever else its witness had', async () => {
    const world = await opened();
    const closer = await Closer.serve(world, (asked) =>
      spoiled(closer.complete(asked), ([maker, ...rest]) => [maker!, ...rest.map(() => new Uint8Array(9))]),
    );
    const closed = world.miner.close();
    await until('broadcast', () => world.chain.mempoolEntries().length === 1);
    world.chain.generate(2);
    await closed;
    expect(await recordOf(world)).toMatchObject({ status: 'closed', reason: 'cooperative' });
    await closer.end();
  });
});
