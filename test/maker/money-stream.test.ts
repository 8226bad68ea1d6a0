import { afterEach, describe, expect, it } from 'vitest';
import { codeOf } from '../../src/base/errors.ts';
import { paySatOf } from '../../src/contract/updated-terms.ts';
import { streamActions } from '../../src/daemon/stream-actions.ts';
import { streamJson } from '../../src/operator/contract-events.ts';
import { OFFERED_FEATURES } from '../../src/peer/features.ts';
import type { RpcPeer } from '../../src/peer/rpc-peer.ts';
import { moneyStreamCodec } from '../../src/peer/stream-codecs.ts';
import type { ContractStore } from '../../src/settlement/contract-store.ts';
import { compareStreams } from '../../src/settlement/money-streams.ts';
import { loadContract } from '../../src/settlement/records.ts';
import type { MemoryLedger } from '../ledger/memory-ledger.ts';
import { seededRandom } from '../seed.ts';
import { SHARE, until, World } from './world.ts';

const WORK = 4000n * SHARE.workHashes;
const STATES = 12;

let world: World;
afterEach(() => world.stop());

const worldOf = (): World =>
  new World({ isVersion3: true, terms: { workTotalHashes: WORK, budgetSat: 1_000_000n } });

const atMaker = () => world.maker.streamOf(world.contractId);

describe('a contract as a money stream', () => {
  it('is the same at both sides to the sat, at every state and through updates, on disk and on the wire', async () => {
    world = worldOf();
    await world.open();
    const { contractId } = world;
    const random = seededRandom();
    const below = (most: number): number => random.bytes(1)[0]! % most;
    const onDisk = async (store: MemoryLedger): Promise<unknown> => {
      const { status: _own, ...stream } = streamJson({ stored: (await loadContract(store, contractId))! });
      return stream;
    };
    let updates = 0;
    for (let n = 1; n <= STATES; n += 1) {
      if (n % 4 === 0) {
        const fromHashes = world.miner.status.ownWorkHashes + 32n * SHARE.workHashes;
        const priceMsatPerEh = BigInt(2_000 + below(200) * 37) * 10n ** 18n;
        await world.maker.updatesOf(contractId).propose({ priceMsatPerEh, fromHashes });
        await world.miner.updates.confirm();
        updates += 1;
      }
      await world.work(4 + below(5));
      await until('both have it', () => {
        const [own, other] = [world.miner.moneyStream, atMaker().moneyStream];
        return own.n >= n && own.n === other.n && other.updates === updates;
      });
      const own = world.miner.moneyStream;
      const { terms } = world.miner.updates.state;
      expect(atMaker().moneyStream).toEqual(own);
      expect(own.balances.recipientSat).toBe(paySatOf(terms, own.workHashes));
      expect(own.balances.recipientSat + own.balances.senderSat).toBe(own.depositSat);
      expect(own.balances.senderSat).toBe(own.balanceSat);
      for (const compared of [await world.miner.compareStreams(), await atMaker().compareStreams()])
        expect(compared).toMatchObject({ own, other: own, differences: [] });
      await until('written', async () =>
        JSON.stringify(await onDisk(world.makerStore)).includes(`"state":${own.n}`),
      );
      expect(await onDisk(world.minerStore)).toEqual(await onDisk(world.makerStore));
    }
    expect(updates).toBe(3);
    expect(world.miner.moneyStream.workHashes).toBeGreaterThanOrEqual(
      BigInt(STATES) * world.terms.stepHashes,
    );
  });

  it('is answered over the API, and what differs is named', async () => {
    world = worldOf();
    await world.open();
    await world.work(4);
    await until('state 1', () => world.maker.status[0]!.ackedN === 1);
    const real = world.miner;
    const ask = streamActions(() => real)['contract/stream']!;
    const { balance_sat: rest, balances } = (await ask({})) as Record<string, unknown>;
    expect(rest).toBe('999360');
    expect(balances).toEqual({ recipient_sat: '640', sender_sat: '999360' });
    expect(await ask({ party: 'recipient' })).toMatchObject({
      party: world.terms.minerNodeId,
      balance_sat: '640',
    });
    expect(await ask({ party: world.terms.makerNodeId })).toMatchObject({ balance_sat: '999360' });
    expect(await Promise.resolve(ask({ party: 'ab' })).catch(codeOf)).toBe('usage');
    expect(await ask({ ask_peer: true })).toMatchObject({ differences: [], other_side: { state: 1 } });
    // A maker that says that less is left, or has another state.
    const saying = (change: object) => {
      const said = moneyStreamCodec.print({ ...real.moneyStream, ...change });
      const peer = { features: new Set(['money_stream']), request: async () => ({ stream: said }) };
      const { contractId } = world;
      const { terms } = real.updates.state;
      const store = { contractId, terms, last: real.status.signed };
      return compareStreams(store as unknown as ContractStore, peer as unknown as RpcPeer);
    };
    expect(await saying({})).toMatchObject({ differences: [] });
    expect(await saying({ balanceSat: 999_361n })).toMatchObject({ differences: ['balance_sat'] });
    expect(await saying({ balanceSat: 999_361n, n: 2 })).toMatchObject({ differences: undefined });
    await world.maker.close();
    await until('away', () => !real.status.connected);
    expect(await Promise.resolve(ask({ ask_peer: true })).catch(codeOf)).toBe('peer_closed');
  });

  it('is not asked of a peer that does not know the question, and of nobody else’s contract', async () => {
    world = worldOf();
    await world.startMaker({ features: OFFERED_FEATURES.filter((bit) => bit !== 25) });
    await world.startMiner();
    await until('connected', () => world.miner.status.connected);
    await expect(world.miner.compareStreams()).rejects.toMatchObject({ code: 'unsupported' });
    await expect(atMaker().compareStreams()).rejects.toMatchObject({ code: 'unsupported' });
    expect(() => world.maker.streamOf('ab')).toThrow('unknown_channel');
  });
});
