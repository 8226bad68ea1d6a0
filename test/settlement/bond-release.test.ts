import { describe, expect, it } from 'vitest';
import type { Timers } from '../../src/base/clock.ts';
import { CodedError, type ErrorCode } from '../../src/base/errors.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { type BondSpend, bondCoins, signBondSpend, verifyBondSpend } from '../../src/channel/bonds.ts';
import type { ChannelRole } from '../../src/channel/keys.ts';
import { silentLogger } from '../../src/log/logger.ts';
import type { Params } from '../../src/peer/messages.ts';
import type { RpcPeer } from '../../src/peer/rpc-peer.ts';
import { answerForBond, BondAsker, type BondSide } from '../../src/settlement/bond-release.ts';
import { AWARD_KIND, awardId } from '../../src/settlement/records.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { makerSigner, minerSigner } from '../channel/fixtures.ts';
import { HALF, params } from '../channel/psbt-fixtures.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';

const COINS = bondCoins(params, HALF, 0);
const coinOf = (role: ChannelRole) => COINS.find(({ owner }) => owner === role)!;
const SIGNERS = { miner: minerSigner, maker: makerSigner };
const RATE = 5000;

function sideOf(role: ChannelRole, changes: Partial<BondSide> = {}): BondSide {
  const store = { contractId: params.contractId, contract: { channelIndex: 7 }, assembled: { params } };
  return { role, store, stakes: { bonds: COINS }, returnsBonds: true, ...changes } as unknown as BondSide;
}

function depsOf(role: ChannelRole, timers: Timers = systemTimers) {
  const ledger = new MemoryLedger({}, { timers });
  const sent: string[] = [];
  const chain = {
    unspent: true,
    txOut: async () => (chain.unspent ? {} : undefined),
    feeRateSatPerKvb: async () => RATE - 0.5,
    broadcast: async (hex: string) => void sent.push(hex),
  };
  const signer = { forChannel: () => SIGNERS[role] };
  return { deps: { ledger, chain, signer, log: silentLogger } as never, ledger, chain, sent };
}

const otherOf = (role: ChannelRole): ChannelRole => (role === 'miner' ? 'maker' : 'miner');

/** What the owner of a bond sends to the other side. */
function asked(owner: ChannelRole, changes: Partial<Params<'bond.release'>> = {}): Params<'bond.release'> {
  const coin = coinOf(owner);
  const { payee = owner, feeRateSatPerKvb = RATE } = changes;
  const signature = signBondSpend(params, { coin, payee, feeRateSatPerKvb }, owner, SIGNERS[owner]);
  const { txid, vout } = coin;
  return { contractId: params.contractId, txid, vout, payee, feeRateSatPerKvb, signature, ...changes };
}

const codeOf = (run: Promise<unknown>): Promise<string> =>
  run.then(
    () => 'answered',
    (error: CodedError) => error.code,
  );

describe.each(['miner', 'maker'] as const)('asked by the other side, a %s', (role) => {
  const owner = otherOf(role);

  it('signs the return of the bond, and has the whole spend on disk before it answers', async () => {
    const { deps, ledger } = depsOf(role);
    const { signature } = await answerForBond(asked(owner), sideOf(role), deps);
    const spend: BondSpend = { coin: coinOf(owner), payee: owner, feeRateSatPerKvb: RATE };
    expect(() => verifyBondSpend(params, spend, role, signature)).not.toThrow();
    expect(await ledger.get(AWARD_KIND, awardId(params.contractId, spend.coin))).toMatch(/^0[123]000000/);
  });

  it('answers nothing where it could not be stored', async () => {
    const { deps, ledger } = depsOf(role);
    ledger.failNext(new CodedError('ledger_io', 'full'));
    expect(await codeOf(answerForBond(asked(owner), sideOf(role), deps))).toBe('ledger_io');
  });

  it('gives up its own share of a bond only where it returns bonds, and takes it always', async () => {
    const keeps = sideOf(role, { returnsBonds: false });
    expect(await codeOf(answerForBond(asked(owner), keeps, depsOf(role).deps))).toBe('bonds_at_stake');
    const gift = asked(owner, { payee: role });
    expect(await codeOf(answerForBond(gift, keeps, depsOf(role).deps))).toBe('answered');
  });

  it('never signs for its own bond, whoever is paid', async () => {
    const { txid, vout } = coinOf(role);
    for (const payee of ['miner', 'maker'] as const) {
      const own = asked(owner, { txid, vout, payee });
      expect(await codeOf(answerForBond(own, sideOf(role), depsOf(role).deps))).toBe('bonds_at_stake');
    }
  });

  it('knows no other coin, and none before the channel or its bonds are there', async () => {
    const cases: [Partial<Params<'bond.release'>>, object][] = [
      [{ txid: '00'.repeat(32) }, {}],
      [{ vout: 77 }, {}],
      [{}, { stakes: {} }],
      [{}, { stakes: { bonds: [] } }],
      [{}, { store: { ...sideOf(role).store, assembled: undefined } }],
      [{}, { store: { ...sideOf(role).store, contract: undefined } }],
    ];
    for (const [changes, side] of cases) {
      const answer = answerForBond({ ...asked(owner), ...changes }, sideOf(role, side), depsOf(role).deps);
      expect(await codeOf(answer)).toBe('unknown_channel');
    }
  });

  it('stores nothing for a signature of another spend', async () => {
    const { deps, ledger } = depsOf(role);
    const other = { ...asked(owner), feeRateSatPerKvb: RATE + 1 };
    expect(await codeOf(answerForBond(other, sideOf(role), deps))).toBe('bad_signature');
    expect(await ledger.get(AWARD_KIND, awardId(params.contractId, coinOf(owner)))).toBeUndefined();
  });
});

describe('asking for the own bond', () => {
  function stage(role: ChannelRole) {
    const time = new VirtualTime();
    const own = depsOf(role, time.timers);
    const other = depsOf(otherOf(role), time.timers);
    const requests: number[] = [];
    const refusals: ErrorCode[] = [];
    let close = (): void => undefined;
    const peer = {
      isClosed: false,
      features: new Set(),
      closed: new Promise<void>((resolve) => {
        close = () => {
          peer.isClosed = true;
          resolve();
        };
      }),
      request: async (method: string) => {
        requests.push(time.clock.monotonicMs());
        const refusal = refusals.shift();
        if (refusal !== undefined) throw new CodedError(refusal, 'not now');
        expect(method).toBe('bond.release');
        return answerForBond(asked(role), sideOf(otherOf(role)), other.deps);
      },
    };
    const asker = new BondAsker({ ...(own.deps as object), timers: time.timers } as never);
    const ask = (side = sideOf(role)): void => asker.ask(peer as unknown as RpcPeer, side);
    return { time, own, requests, refusals, ask, close: () => close() };
  }

  it.each(['miner', 'maker'] as const)('a %s stores and sends what both signed', async (role) => {
    const { time, own, requests, ask } = stage(role);
    ask();
    await time.settle();
    expect(requests).toHaveLength(1);
    const stored = await own.ledger.get(AWARD_KIND, awardId(params.contractId, coinOf(role)));
    expect(own.sent).toEqual([stored]);
    expect(stored).toBeDefined();
    ask();
    await time.settle();
    expect(requests).toHaveLength(1);
  });

  it('sends it also where it cannot be stored', async () => {
    const { time, own, ask } = stage('miner');
    own.ledger.failNext(new CodedError('ledger_io', 'full'));
    ask();
    await time.settle();
    expect(own.sent).toHaveLength(1);
  });

  it('is done again, later each time up to a minute, while the other side does not see the close', async () => {
    const { time, own, requests, refusals, ask } = stage('miner');
    refusals.push(...new Array<ErrorCode>(6).fill('unknown_channel'));
    refusals.push(...new Array<ErrorCode>(6).fill('chain_unreachable'));
    ask();
    await time.settle();
    await time.advance(600_000);
    const waits = requests.slice(1).map((at, index) => at - requests[index]!);
    expect(waits).toEqual([
      250, 500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000, 60_000,
    ]);
    expect(own.sent).toHaveLength(1);
  });

  it('ends with a refusal that stays, and with the connection', async () => {
    const refused = stage('miner');
    refused.refusals.push('bonds_at_stake');
    refused.ask();
    await refused.time.settle();
    await refused.time.advance(600_000);
    expect([refused.requests.length, refused.own.sent]).toEqual([1, []]);

    const left = stage('miner');
    left.refusals.push('unknown_channel', 'unknown_channel');
    left.ask();
    await left.time.settle();
    left.close();
    await left.time.advance(600_000);
    expect([left.requests.length, left.own.sent]).toEqual([1, []]);
  });

  it('is done once there are bonds, on a connection that had none to ask for', async () => {
    const { time, requests, ask } = stage('miner');
    ask(sideOf('miner', { stakes: {} as never }));
    ask();
    await time.settle();
    expect(requests).toHaveLength(1);
  });

  it('is not done without bonds, without an own one, or for one that is spent', async () => {
    const none = stage('miner');
    none.ask(sideOf('miner', { stakes: {} as never }));
    none.ask(sideOf('miner', { stakes: { bonds: [coinOf('maker')] } as never }));
    await none.time.settle();
    for (const missing of ['assembled', 'contract']) {
      const early = stage('miner');
      early.ask(sideOf('miner', { store: { ...sideOf('miner').store, [missing]: undefined } }));
      await early.time.settle();
      expect(early.requests).toEqual([]);
    }
    const spent = stage('miner');
    spent.own.chain.unspent = false;
    spent.ask();
    await spent.time.settle();
    expect([none.requests, spent.requests]).toEqual([[], []]);
  });
});
