import { afterEach, describe, expect, it } from 'vitest';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { minerContributionSat } from '../../src/channel/amounts.ts';
import { minerKeysOf } from '../../src/channel/keys.ts';
import { type ContractTerms, contractIdOf } from '../../src/contract/terms.ts';
import { OpeningBudget } from '../../src/maker/opening-budget.ts';
import { ChosenCoins } from '../../src/miner/chosen-coins.ts';
import { call } from '../../src/peer/calls.ts';
import type { RpcPeer } from '../../src/peer/rpc-peer.ts';
import { keyWallet } from '../../src/settlement/funding-wallet.ts';
import { chooseFundingSide, signTerms, walletScript } from '../../src/settlement/opening.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { connectAsMiner } from './impostors.ts';
import { until, World } from './world.ts';

describe('a proposal that is never opened', () => {
  let world: World;
  afterEach(() => world.stop());

  const termsOf = (nonce: string): ContractTerms => ({ ...world.terms, nonceHex: nonce.repeat(16) });
  const propose = (peer: RpcPeer, nonce: string): Promise<string> => {
    const terms = termsOf(nonce);
    const signature = signTerms(terms, world.minerSigner);
    return call(peer, 'contract.propose', { terms, signature }).then(() => 'answered', codeOf);
  };

  it('holds a budget for some minutes, and none after them', async () => {
    world = new World();
    let laterMs = 0;
    const clock = {
      nowMs: () => Date.now() + laterMs,
      monotonicMs: () => performance.now() + laterMs,
    };
    await world.startMaker({}, { clock });
    const peer = await connectAsMiner(world);
    expect([await propose(peer, 'a1'), await propose(peer, 'a2')]).toEqual(['answered', 'answered']);
    expect(await propose(peer, 'a3')).toBe('bad_terms');
    laterMs = 10 * 60_000 + 1000;
    expect(await propose(peer, 'a3')).toBe('answered');
    peer.close();
  });

  it('is forgotten but for as many as a miner may have, and the same where it is proposed again', async () => {
    world = new World();
    const time = new VirtualTime();
    await world.startMaker(
      {},
      { clock: time.clock, timers: { ...systemTimers, every: time.timers.every } },
    );
    let isPoor = true;
    const wallet = keyWallet({ chain: world.source, signer: world.minerSigner });
    const chosenCoins = new ChosenCoins();
    world.minerDeps = {
      chosenCoins,
      wallet: {
        ...wallet,
        choose: async (asked) => {
          if (isPoor) throw new CodedError('insufficient_funds');
          return wallet.choose(asked);
        },
      },
    };
    await world.startMiner();
    await until('refused', () => world.miner.status.lastError === 'insufficient_funds');
    const peer = await connectAsMiner(world);
    const later = (): Promise<void> => time.advance(11 * 60_000);
    const ids = (): string[] => world.maker.status.map(({ contractId }) => contractId);
    expect(ids()).toEqual([world.contractId]);
    for (const nonce of ['a1', 'a2', 'a3', 'a4', 'a5']) {
      await later();
      expect(await propose(peer, nonce)).toBe('answered');
    }
    await later();
    await until('forgotten', () => ids().length === 2);
    expect(ids()).toEqual(['a4', 'a5'].map((nonce) => contractIdOf(termsOf(nonce))));
    // Its miner has what both signed, and comes back with the money.
    const signed = await world.makerStore.get('contract', world.contractId);
    isPoor = false;
    await until('funding broadcast', () => world.chain.mempoolEntries().length > 0);
    expect(await world.makerStore.get('contract', world.contractId)).toBe(signed);
    peer.close();
  });

  it('is judged again where it is opened late: nobody has a price for days', async () => {
    world = new World();
    const time = new VirtualTime();
    const timers = { ...systemTimers, every: time.timers.every };
    const applyPolicy = () => ({ ...world.policy, maxPriceMsatPerEh: world.policy.maxPriceMsatPerEh - 1n });
    await world.startMaker({}, { clock: time.clock, timers, applyPolicy });
    const peer = await connectAsMiner(world);
    const open = async (nonce: string): Promise<string> => {
      const terms = termsOf(nonce);
      const { minerSigner: signer, source: chain } = world;
      const asked = { contributionSat: minerContributionSat(terms), feeRateSatPerKvb: 2000 };
      const funding = await chooseFundingSide({ ...asked, reserved: new Set() }, { chain, signer });
      const keys = minerKeysOf(signer, terms);
      const contractId = contractIdOf(terms);
      const params = { contractId, keys, payoutScript: walletScript(signer), funding };
      return call(peer, 'channel.open', params).then(() => 'opened', codeOf);
    };
    expect([await propose(peer, 'a1'), await propose(peer, 'a2')]).toEqual(['answered', 'answered']);
    await world.maker.policies.set({ max_price: 'less' });
    expect(await open('a1')).toBe('opened');
    await time.advance(11 * 60_000);
    await until('given up', () => world.maker.status[0]?.channel === 'failed');
    await time.advance(11 * 60_000);
    expect(await open('a2')).toBe('bad_terms');
    peer.close();
  });

  it('holds nothing at the miner either once its time is over: no coin, and no room', async () => {
    world = new World({ isVersion3: true });
    await world.startMaker();
    const chosenCoins = new ChosenCoins();
    world.minerDeps = { chosenCoins };
    world.makerLedger.deathAt = (entries) =>
      entries.some(({ kind }) => kind === 'opening') ? 'before' : undefined;
    await world.startMiner();
    await until('it is asked to open it, and dies', () => world.makerLedger.isDead);
    const reserved = async (): Promise<number> => {
      const none = { inputs: [], changeScript: new Uint8Array() };
      let count = 0;
      await chosenCoins.choose('another', async (coins) => {
        count = coins.size;
        return none;
      });
      return count;
    };
    expect(await reserved()).toBe(1);
    expect(world.miner.status.channel).toBe('none');
    // 500 is the last block in which it may be as deep as 2.
    world.chain.generate(498 - world.chain.height);
    await world.rest();
    expect(world.miner.status.channel).toBe('none');
    world.chain.generate(1);
    await until('lapsed', () => world.miner.status.channel === 'failed');
    expect(await reserved()).toBe(0);
  });

  it('holds none after a restart, and the honest miner is served', async () => {
    world = new World();
    await world.startMaker();
    const peer = await connectAsMiner(world);
    expect([await propose(peer, 'b1'), await propose(peer, 'b2')]).toEqual(['answered', 'answered']);
    peer.close();
    await world.restartMaker();
    await world.startMiner();
    await until('funding broadcast', () => world.chain.mempoolEntries().length > 0);
  });
});

describe('an opening that is never signed', () => {
  let world: World;
  afterEach(() => world.stop());

  const MINUTE_MS = 60_000;

  function chosen(): ReturnType<typeof chooseFundingSide> {
    const { minerSigner: signer, source: chain, terms } = world;
    const request = { contributionSat: minerContributionSat(terms), feeRateSatPerKvb: 2000 };
    return chooseFundingSide({ ...request, reserved: new Set() }, { chain, signer });
  }

  /** Proposes and opens a contract, and signs nothing. */
  async function open(peer: RpcPeer, nonce: string, coins = chosen()): Promise<string> {
    const terms = { ...world.terms, nonceHex: nonce.repeat(16) };
    const { minerSigner: signer } = world;
    const funding = await coins;
    const keys = minerKeysOf(signer, terms);
    const contractId = contractIdOf(terms);
    try {
      await call(peer, 'contract.propose', { terms, signature: signTerms(terms, signer) });
      await call(peer, 'channel.open', { contractId, keys, payoutScript: walletScript(signer), funding });
      return 'opened';
    } catch (error) {
      return codeOf(error);
    }
  }

  it('frees the coins after minutes, and the next one has to wait, longer each time', async () => {
    world = new World({ policy: { maxOpenContractsPerMiner: 9 } });
    const time = new VirtualTime();
    await world.startMaker(
      {},
      { clock: time.clock, timers: { ...systemTimers, every: time.timers.every } },
    );
    const peer = await connectAsMiner(world);
    const passed = async (minutes: number): Promise<void> => {
      await time.advance(minutes * MINUTE_MS);
      await until('given up', () => world.maker.status.every(({ channel }) => channel !== 'opening'));
    };
    expect(await open(peer, 'c1')).toBe('opened');
    expect(await open(peer, 'c2')).toBe('wrong_status');
    await passed(11);
    expect(world.maker.status[0]?.channel).toBe('failed');
    expect(await open(peer, 'c3')).toBe('too_often');
    await passed(11);
    expect(await open(peer, 'c4')).toBe('opened');
    await passed(11);
    await passed(11);
    expect(await open(peer, 'c5')).toBe('too_often');
    await passed(10);
    expect(await open(peer, 'c6')).toBe('opened');
    peer.close();
  });

  it('frees the coins at the height from which it would be refused, however fast blocks come', async () => {
    world = new World({ terms: { expiryHeight: 80 }, policy: { minExpiryBlocks: 40 } });
    const time = new VirtualTime();
    await world.startMaker(
      {},
      { clock: time.clock, timers: { ...systemTimers, every: time.timers.every } },
    );
    const peer = await connectAsMiner(world);
    expect(await open(peer, 'd1')).toBe('opened');
    world.chain.generate(80 - 40 - 1 - world.chain.height);
    // Behind what that block brings about: openings go one after the other.
    expect(await open(peer, 'd2')).toBe('expiry_near');
    expect(world.maker.status[0]?.channel).toBe('opening');
    world.chain.generate(1);
    await until('given up', () => world.maker.status[0]?.channel === 'failed');
    peer.close();
  });

  it('of an earlier run has its time from the start on, to the millisecond, and is given up then', async () => {
    world = new World({ policy: { maxOpenContractsPerMiner: 9 } });
    await world.startMaker();
    const before = await connectAsMiner(world);
    expect(await open(before, 'e1')).toBe('opened');
    const time = new VirtualTime();
    await time.advance(60 * MINUTE_MS);
    await world.restartMaker({ clock: time.clock, timers: { ...systemTimers, every: time.timers.every } });
    await time.advance(10 * MINUTE_MS);
    await world.rest();
    const { contractId, channel } = world.maker.status[0]!;
    expect(channel).toBe('opening');
    const takesBack = (): Promise<string> => world.maker.closeAlone(contractId).then(() => 'done', codeOf);
    // Nothing is on the chain to be taken back, before and after.
    expect(await takesBack()).toBe('unknown_channel');
    const peer = await connectAsMiner(world);
    expect(await open(peer, 'e2')).toBe('wrong_status');
    await time.advance(MINUTE_MS);
    await until('given up', () => world.maker.status[0]?.channel === 'failed');
    expect(await takesBack()).toBe('unknown_channel');
    await until('noted', async () => (await open(peer, 'e3')) === 'too_often');
    peer.close();
  });

  it('nor funded keeps its miner from another one, until its funding is in a block', async () => {
    world = new World({ policy: { maxOpenContractsPerMiner: 9, maxTotalBudgetSat: 9_000_000n } });
    const spent = await chosen();
    await world.startMaker();
    await world.startMiner();
    await until('funding broadcast', () => world.chain.mempoolEntries().length > 0);
    await until('known', () => world.maker.status[0]?.channel === 'funding');
    const peer = await connectAsMiner(world);
    expect(await open(peer, 'f1', Promise.resolve(spent))).toBe('wrong_status');
    world.chain.generate(1);
    await until('in a block', () => world.maker.status[0]!.fundingDepth === 1);
    expect(await open(peer, 'f2')).toBe('opened');
    await world.miner.stop();
    peer.close();
  });

  it('the budget is of a peer and of the coins it names, doubles, and is forgotten with a channel', () => {
    world = new World();
    const clock = new ManualClock();
    const budget = new OpeningBudget({ openingMs: 600_000 }, { clock });
    const isFree = (...names: string[]): boolean => {
      try {
        budget.assertFree(names);
        return true;
      } catch (error) {
        expect(codeOf(error)).toBe('too_often');
        return false;
      }
    };
    for (const pauseMs of [600_000, 1_200_000, 2_400_000]) {
      budget.failed(['node', 'coin']);
      clock.advance(pauseMs - 1);
      expect([isFree('node', 'other'), isFree('another', 'coin'), isFree('another', 'other')]).toEqual([
        false,
        false,
        true,
      ]);
      clock.advance(1);
      expect(isFree('node', 'coin')).toBe(true);
    }
    budget.failed(['node', 'coin']);
    budget.succeeded(['node']);
    expect([isFree('node'), isFree('coin')]).toEqual([true, false]);
  });
});
