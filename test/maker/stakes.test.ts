import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import type { ChainSource } from '../../src/chain/source.ts';
import { p2wpkhScript } from '../../src/chain/wallet.ts';
import { DEFAULT_CLOSE_MARGINS } from '../../src/chain/watcher.ts';
import { capacitySat, closeAmounts, stateAmounts } from '../../src/channel/amounts.ts';
import { type BondSpend, bondCoins, signBondSpend } from '../../src/channel/bonds.ts';
import { type CloseSettlement, signClose } from '../../src/channel/close.ts';
import type { ChannelParams } from '../../src/channel/params.ts';
import { exportPsbt, signPsbt } from '../../src/channel/psbt.ts';
import { SeedSigner } from '../../src/channel/signer.ts';
import { bondSpendRequest } from '../../src/channel/signing-requests.ts';
import type { BondMode, BondTerms } from '../../src/contract/bond-terms.ts';
import type { TermsV1or2 } from '../../src/contract/terms.ts';
import { silentLogger } from '../../src/log/logger.ts';
import type { StakesPolicy } from '../../src/maker/policy.ts';
import { call } from '../../src/peer/calls.ts';
import { takeAuditorAward } from '../../src/settlement/auditor-awards.ts';
import { assembleChannel } from '../../src/settlement/opening.ts';
import { loadContract } from '../../src/settlement/records.ts';
import { connectAsMiner } from './impostors.ts';
import { MortalLedger, SHARE, seedOf, until, World, type WorldOptions } from './world.ts';

const MODES = ['none', 'forfeit_to_mm', 'hostage', 'auditor'] as const;
const CSV_BLOCKS = 20;
const auditor = new SeedSigner({ seed: seedOf('auditor'), network: 'regtest', channelIndex: 5 });
const auditorKeyHex = toHex(auditor.publicKey('auditor'));

const stakes: StakesPolicy = {
  bondModes: MODES,
  maxMakerBondSat: 40_000n,
  minCollateralSat: 10_000n,
  auditorKeysHex: [auditorKeyHex],
  minBondCsvBlocks: 10,
  maxBondCsvBlocks: 2016,
  seal: 'allowed',
  minClaimFeeRateSatPerKvb: 1000,
  earlyClose: 'returned',
};

function bondsOfMode(bondMode: BondMode): BondTerms | undefined {
  if (bondMode === 'none') return undefined;
  const amounts = { makerBondSat: 40_000n, collateralSat: 60_000n };
  if (bondMode !== 'auditor') return { bondMode, ...amounts };
  return { bondMode, ...amounts, bondCsvBlocks: CSV_BLOCKS, auditorKeyHex };
}

/** 1000 hashes at 100 sat in all, so that a step of four shares frees a part of the bonds that counts. */
function worldOf(mode: BondMode, options: WorldOptions = {}): World {
  const bonds = bondsOfMode(mode);
  const terms: Partial<TermsV1or2> = {
    workTotalHashes: 1000n,
    priceMsatPerEh: 100_000n * 10n ** 18n,
    budgetSat: 100_000n,
    expiryHeight: 600,
    ...(bonds === undefined ? {} : { bonds }),
    ...options.terms,
  };
  const policy = {
    maxPriceMsatPerEh: 100_000n * 10n ** 18n,
    minExpiryBlocks: 300,
    stakes,
    ...options.policy,
  };
  return new World({ ...options, terms, policy });
}

class Purse {
  readonly #world: World;
  readonly #before: { miner: bigint; maker: bigint };

  /** What both wallets hold once the funding is in a block. */
  constructor(world: World) {
    this.#world = world;
    this.#before = this.#now();
  }

  /** What came since. */
  get gained(): { miner: bigint; maker: bigint } {
    const { miner, maker } = this.#now();
    return { miner: miner - this.#before.miner, maker: maker - this.#before.maker };
  }

  #now(): { miner: bigint; maker: bigint } {
    const of = (signer: SeedSigner): bigint =>
      this.#world.chain
        .utxos(toHex(p2wpkhScript(signer.publicKey('wallet'))))
        .reduce((sum, coin) => sum + coin.valueSat, 0n);
    return { miner: of(this.#world.minerSigner), maker: of(this.#world.makerSigner) };
  }
}

async function opened(mode: BondMode, options: WorldOptions = {}): Promise<{ world: World; purse: Purse }> {
  const world = worldOf(mode, options);
  await world.open();
  const purse = new Purse(world);
  for (let n = 1; n <= 3; n += 1) {
    await world.work(4);
    await until(`state ${n}`, () => world.maker.status[0]!.ackedN === n);
  }
  return { world, purse };
}

const workHashes = 12n * SHARE.workHashes;

/** The fee of what the mempool holds, which must be one transaction. */
async function waitingFee(world: World): Promise<bigint> {
  await until('broadcast', () => world.chain.mempoolEntries().length === 1);
  return world.chain.mempoolEntries()[0]!.feeSat;
}

describe.each(MODES)('bonds of mode %s', (mode) => {
  it('open, stream, close together', async () => {
    const { world, purse } = await opened(mode);
    const closed = world.miner.close();
    const feeSat = await waitingFee(world);
    world.chain.generate(2);
    await closed;
    const settlement = mode === 'none' ? undefined : 'returned';
    const { minerSat, makerSat } = closeAmounts(world.terms, workHashes, settlement);
    expect(purse.gained).toEqual({ miner: minerSat - feeSat, maker: makerSat });
    expect(minerSat + makerSat).toBe(capacitySat(world.terms));
    await world.stop();
  });

  it('the miner closes alone, and bonds end as agreed', async () => {
    const { world, purse } = await opened(mode);
    await world.miner.closeAlone();
    const feeSat = await waitingFee(world);
    world.chain.generate(2);
    await until('closed', () => world.miner.status.channel === 'closed');
    await until('maker sees it', () => world.maker.status[0]!.channel === 'closed');
    const amounts = stateAmounts(world.terms, workHashes);
    const { minerSat, makerSat, minerBondOutputSat, makerBondOutputSat } = amounts;
    expect(purse.gained).toEqual({ miner: minerSat - feeSat, maker: makerSat });

    // Two blocks are over; the block of the close counts.
    world.chain.generate(CSV_BLOCKS - 3);
    await world.rest();
    expect(world.chain.mempoolEntries()).toEqual([]);
    world.chain.generate(1);
    if (mode === 'auditor') {
      await until('both taken back', () => world.chain.mempoolEntries().length === 2);
      const returns = world.chain.mempoolEntries().map((entry) => entry.feeSat);
      expect(returns[0]).toBe(returns[1]);
      world.chain.generate(1);
      expect(purse.gained).toEqual({
        miner: minerSat - feeSat + minerBondOutputSat - returns[0]!,
        maker: makerSat + makerBondOutputSat - returns[0]!,
      });
    } else {
      await world.rest();
      world.chain.generate(1);
      expect(purse.gained).toEqual({ miner: minerSat - feeSat, maker: makerSat });
    }
    await world.stop();
  });

  it('the maker vanishes: the miner has all it was signed, and its bond where the terms say so', async () => {
    const { world, purse } = await opened(mode);
    await world.maker.close();
    await until('alone', () => !world.miner.status.connected);
    await world.miner.closeAlone();
    const feeSat = await waitingFee(world);
    world.chain.generate(2);
    await until('closed', () => world.miner.status.channel === 'closed');
    const { minerSat, makerSat, minerBondOutputSat } = stateAmounts(world.terms, workHashes);
    world.chain.generate(CSV_BLOCKS - 2);
    let ownSat = 0n;
    if (mode === 'auditor') {
      ownSat = minerBondOutputSat - (await waitingFee(world));
      world.chain.generate(1);
    }
    expect(purse.gained).toEqual({ miner: minerSat - feeSat + ownSat, maker: makerSat });
    await world.stop();
  });

  it('the miner vanishes: the maker has the whole channel at the expiry', async () => {
    const { world, purse } = await opened(mode);
    await world.miner.stop();
    world.chain.generate(world.terms.expiryHeight - world.chain.height);
    const feeSat = await waitingFee(world);
    world.chain.generate(2);
    await until('closed', () => world.maker.status[0]!.channel === 'closed');
    expect(purse.gained).toEqual({ miner: 0n, maker: capacitySat(world.terms) - feeSat });
    await world.stop();
  });

  it('all work delivered: nothing is at stake, whatever the policy of early closes', async () => {
    const strict = { stakes: { ...stakes, earlyClose: 'refused' as const } };
    const { world, purse } = await opened(mode, { policy: strict });
    await world.work(Number(1000n / SHARE.workHashes) - 12 + 1);
    const feeSat = await waitingFee(world);
    world.chain.generate(2);
    await until('closed', () => world.miner.status.channel === 'closed');
    const { minerReserveSat, reserveSat } = world.terms;
    const bonds = bondsOfMode(mode);
    expect(purse.gained).toEqual({
      miner: minerReserveSat + 100_000n + (bonds?.collateralSat ?? 0n) - feeSat,
      maker: reserveSat + (bonds?.makerBondSat ?? 0n),
    });
    await world.stop();
  });
});

describe('a miner that asks for another settlement than the maker serves', () => {
  it('gets no signature for it, however well it is signed, and one for the maker’s own', async () => {
    const { world } = await opened('auditor');
    const { contractId } = world;
    await world.miner.stop();
    const { opening, contract, last } = (await loadContract(world.minerStore, contractId))!;
    const { params } = assembleChannel(contract.terms, opening!.open, opening!.accept!);
    const { n } = last!;
    const peer = await connectAsMiner(world);
    await call(peer, 'channel.reestablish', { contractId, n, state: last, nextSeq: 12 });
    const keys = world.minerSigner.forChannel(contract.channelIndex);
    const ask = async (settlement: CloseSettlement): Promise<string> => {
      const signature = signClose(params, last!, 2_000n, 'miner', keys, settlement);
      const asked = { contractId, n, feeSat: 2_000n, signature, settlement };
      return call(peer, 'close.sig', asked).then(() => 'signed', codeOf);
    };
    expect(await ask('maker_forfeits')).toBe('bonds_at_stake');
    expect(await ask('miner_forfeits')).toBe('bonds_at_stake');
    expect(world.chain.mempoolEntries()).toEqual([]);
    expect(world.maker.status[0]).toMatchObject({ channel: 'open' });
    expect(await ask('returned')).toBe('signed');
    await world.stop();
  });
});

describe('a maker that does not close early', () => {
  it('says so where it is asked to, and the stream goes on', async () => {
    const strict = { stakes: { ...stakes, earlyClose: 'refused' as const } };
    const { world } = await opened('auditor', { policy: strict });
    const asked = world.maker.requestClose(world.contractId).then(() => 'asked', codeOf);
    expect(await asked).toBe('bonds_at_stake');
    expect(world.miner.status).toMatchObject({ stream: 'live', live: true });
    await world.stop();
  });

  it('refuses, and the stream goes on: work is delivered and paid, and nothing closes alone', async () => {
    const { world } = await opened('auditor', {
      policy: { stakes: { ...stakes, earlyClose: 'refused' } },
      miner: { margins: { ...DEFAULT_CLOSE_MARGINS, finalDepth: 2, patienceBlocks: 2 } },
    });
    const { n } = world.miner.status.signed!;
    for (const asked of [1, 2]) {
      expect(await world.miner.closeNow().catch(codeOf)).toBe('bonds_at_stake');
      expect(world.miner.status).toMatchObject({ stream: 'live', live: true });
      await world.work(4);
      await until('paid', () => world.miner.status.signed!.n === n + asked);
    }
    world.chain.generate(4);
    await until('seen', () => world.miner.status.fundingDepth > 4);
    expect(world.miner.status).toMatchObject({ channel: 'open', live: true });
    await world.stop();
  });

  it('is not asked while it is away: the close fails, and nothing has changed', async () => {
    const { world } = await opened('auditor');
    await world.maker.close();
    await until('away', () => !world.miner.status.connected);
    expect(await world.miner.closeNow().catch(codeOf)).toBe('peer_closed');
    expect(world.miner.status).toMatchObject({ stream: 'live', channel: 'open' });
    await world.stop();
  });

  it('refuses while bonds are at stake, and the miner can still close alone', async () => {
    const { world, purse } = await opened('auditor', {
      policy: { stakes: { ...stakes, earlyClose: 'refused' } },
    });
    expect(await world.miner.closeNow().catch(codeOf)).toBe('bonds_at_stake');
    expect(world.miner.status).toMatchObject({
      connected: true,
      channel: 'open',
      lastError: 'bonds_at_stake',
    });
    expect(world.chain.mempoolEntries()).toEqual([]);
    await world.miner.closeAlone();
    const feeSat = await waitingFee(world);
    world.chain.generate(1);
    const { minerSat, makerSat } = stateAmounts(world.terms, workHashes);
    expect(purse.gained).toEqual({ miner: minerSat - feeSat, maker: makerSat });
    await world.stop();
  });
});

describe('terms with stakes that a maker does not take', () => {
  it.each<[string, BondMode, Partial<StakesPolicy>]>([
    ['another mode', 'hostage', { bondModes: ['none', 'auditor'] }],
    ['too much of its own money', 'forfeit_to_mm', { maxMakerBondSat: 39_999n }],
    ['too little collateral', 'hostage', { minCollateralSat: 60_001n }],
    ['an auditor it does not know', 'auditor', { auditorKeysHex: [`02${'ab'.repeat(32)}`] }],
    ['a delay too short', 'auditor', { minBondCsvBlocks: CSV_BLOCKS + 1 }],
    ['a delay too long', 'auditor', { maxBondCsvBlocks: CSV_BLOCKS - 1 }],
    ['no seal', 'none', { seal: 'required' }],
  ])('%s', async (_name, mode, changes) => {
    const world = worldOf(mode, { policy: { stakes: { ...stakes, ...changes } } });
    await world.startMaker();
    await world.startMiner();
    await until('refused', () => world.miner.status.lastError === 'bad_terms');
    expect(await world.makerStore.list('contract')).toEqual([]);
    expect(world.chain.mempoolEntries()).toEqual([]);
    await world.stop();
  });
});

describe('bonds of a miner that closed alone, by two signatures', () => {
  async function closedAlone(mode: BondMode, miner: boolean, maker: boolean) {
    const { world, purse } = await opened(mode, {
      miner: { returnsBonds: miner },
      policy: { stakes: { ...stakes, returnsBonds: maker } },
    });
    await world.miner.closeAlone();
    const feeSat = await waitingFee(world);
    world.chain.generate(1);
    const { minerSat, makerSat, ...bonds } = stateAmounts(world.terms, workHashes);
    expect(purse.gained).toEqual({ miner: minerSat - feeSat, maker: makerSat });
    return { world, purse, before: purse.gained, bonds };
  }

  it.each(['hostage', 'auditor'] as const)('%s: both return what the other asks for', async (mode) => {
    const { world, purse, before, bonds } = await closedAlone(mode, true, true);
    await until('both released', () => world.chain.mempoolEntries().length === 2);
    const fees = world.chain.mempoolEntries().map((entry) => entry.feeSat);
    world.chain.generate(1);
    expect(purse.gained).toEqual({
      miner: before.miner + bonds.minerBondOutputSat - fees[0]!,
      maker: before.maker + bonds.makerBondOutputSat - fees[0]!,
    });
    await world.stop();
  });

  /** Closed alone under hostage terms: the miner's node shows it, the maker is told by `lookAgain`. */
  async function closedUnseen(): Promise<{ world: World; lookAgain: () => void }> {
    const { world } = await opened('hostage', {
      miner: { returnsBonds: true },
      policy: { stakes: { ...stakes, returnsBonds: true } },
    });
    let lookAgain = (): void => {};
    const blind: ChainSource = {
      ...world.source,
      watchTip: (onTip) => {
        lookAgain = () => onTip(world.chain.tip());
        lookAgain();
        return () => {};
      },
    };
    await world.restartMaker({ chain: blind });
    await until('connected again', () => world.miner.stats.connections === 2);
    await world.rest();
    await world.miner.closeAlone();
    await waitingFee(world);
    world.chain.generate(1);
    await world.rest();
    expect(world.chain.mempoolEntries()).toEqual([]);
    return { world, lookAgain };
  }

  it('hostage: whoever sees the close first asks again until the other sees it too', async () => {
    const { world, lookAgain } = await closedUnseen();
    lookAgain();
    await until('both released', () => world.chain.mempoolEntries().length === 2);
    await world.stop();
  });

  it('hostage: nobody is asked again over a connection that ended, also while the chain is away', async () => {
    const { world } = await closedUnseen();
    let asked = 0;
    Object.assign(world.source, {
      txOut: () => {
        asked += 1;
        return Promise.reject(new CodedError('chain_unreachable'));
      },
    });
    await world.maker.close();
    await until('alone', () => !world.miner.status.connected);
    await world.rest();
    expect(asked).toBeLessThan(5);
    await world.stop();
  });

  it('hostage: one that does not return keeps the other waiting, until it does', async () => {
    const { world, purse, before, bonds } = await closedAlone('hostage', true, false);
    await until('one released', () => world.chain.mempoolEntries().length === 1);
    const { feeSat } = world.chain.mempoolEntries()[0]!;
    world.chain.generate(8);
    expect(purse.gained).toEqual({
      miner: before.miner,
      maker: before.maker + bonds.makerBondOutputSat - feeSat,
    });
    await until('closed', () => world.miner.status.channel === 'closed');
    // Its bond is still there, so the miner goes on asking whoever is there.
    const port = world.port;
    await world.maker.close();
    await world.restartMiner();
    world.makerLedger = new MortalLedger(world.makerStore);
    await world.startMaker({
      port,
      policy: { ...world.policy, stakes: { ...stakes, returnsBonds: true } },
    });
    const second = await waitingFee(world);
    world.chain.generate(1);
    expect(purse.gained.miner).toBe(before.miner + bonds.minerBondOutputSat - second);
    await world.stop();
  });

  it('hostage: a maker signs nothing that is not the miner’s to ask for', async () => {
    const { world, bonds } = await closedAlone('hostage', false, false);
    await until('seen', () => world.maker.status[0]!.channel === 'closing');
    await world.miner.stop();
    const { opening, contract } = (await loadContract(world.minerStore, world.contractId))!;
    const { params } = assembleChannel(contract.terms, opening!.open, opening!.accept!);
    const coins = bondCoins(params, workHashes, await rungOf(params, world));
    const keys = world.minerSigner.forChannel(contract.channelIndex);
    const peer = await connectAsMiner(world);
    const ask = async (
      owner: string,
      payee: 'miner' | 'maker',
      rate: number,
      change = {},
    ): Promise<string> => {
      const coin = coins.find((each) => each.owner === owner)!;
      const spend: BondSpend = { coin, payee, feeRateSatPerKvb: rate };
      const signature = signBondSpend(params, spend, 'miner', keys);
      const { contractId } = world;
      const { txid, vout } = coin;
      const request = { contractId, txid, vout, payee, feeRateSatPerKvb: rate, signature, ...change };
      return call(peer, 'bond.release', request).then(() => 'signed', codeOf);
    };
    const ruinous = (Number(bonds.makerBondOutputSat) - 1000) * 6;
    expect(await ask('maker', 'maker', ruinous)).toBe('bonds_at_stake');
    expect(await ask('maker', 'miner', 2000)).toBe('bonds_at_stake');
    expect(await ask('miner', 'miner', 2000)).toBe('bonds_at_stake');
    expect(await ask('miner', 'maker', 2000, { txid: '11'.repeat(32) })).toBe('unknown_channel');
    expect(await ask('miner', 'maker', 2000, { feeRateSatPerKvb: 2001 })).toBe('bad_signature');
    expect(await world.makerStore.list('award')).toEqual([]);
    // What the miner gives up the maker takes.
    expect(await ask('miner', 'maker', 2000)).toBe('signed');
    expect(await world.makerStore.list('award')).toHaveLength(1);
    peer.close();
    await world.stop();
  });

  it.each(['miner', 'maker'] as const)('auditor: a ruling for the %s moves both bonds', async (payee) => {
    const { world, purse, before, bonds } = await closedAlone('auditor', false, false);
    const recording = payee === 'miner' ? world.minerStore : world.makerStore;
    const signer = payee === 'miner' ? world.minerSigner : world.makerSigner;
    const stored = (await loadContract(recording, world.contractId))!;
    const { opening, contract, channel, last } = stored;
    const assembled = assembleChannel(contract.terms, opening!.open, opening!.accept!);
    const { params } = assembled;
    const rung = await rungOf(params, world);
    const store = { contractId: world.contractId, terms: world.terms, sealClaim: undefined };
    const side = { role: payee, store: { ...store, contract, assembled, channel, last } } as const;
    for (const coin of bondCoins(params, workHashes, rung)) {
      const spend: BondSpend = { coin, payee, feeRateSatPerKvb: 2000 };
      const request = bondSpendRequest(params, spend);
      const ruled = signPsbt(request, exportPsbt(request, [auditor]), auditor);
      const unsigned = exportPsbt(request, [auditor]);
      const deps = { ledger: recording, signer, log: silentLogger };
      await expect(takeAuditorAward(side, spend, unsigned, deps)).rejects.toThrow('bad_signature');
      await takeAuditorAward(side, spend, ruled, deps);
    }
    // At most 157 virtual bytes each, at 2 sat.
    const wonSat = bonds.minerBondOutputSat + bonds.makerBondOutputSat - 2n * 314n;
    await until('both moved', () => {
      world.chain.generate(1);
      return purse.gained[payee] >= before[payee] + wonSat;
    });
    expect(purse.gained).toEqual({ ...before, [payee]: before[payee] + wonSat });
    await world.stop();
  });
});

/** The rung of the newest state that is on the chain. */
async function rungOf(params: ChannelParams, world: World): Promise<number> {
  for (let rung = 0; rung < 5; rung += 1) {
    const [coin] = bondCoins(params, workHashes, rung);
    if (coin !== undefined && (await world.source.txOut(coin.txid, coin.vout)) !== undefined) return rung;
  }
  throw new Error('no rung is on the chain');
}
