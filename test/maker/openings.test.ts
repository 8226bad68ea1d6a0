import { afterEach, describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import type { ChainSource } from '../../src/chain/source.ts';
import { listUtxos } from '../../src/chain/wallet.ts';
import { SPENT_ELSEWHERE } from '../../src/chain/watcher.ts';
import { nodeIdBytes, SeedSigner } from '../../src/channel/signer.ts';
import type { QuoteRequest } from '../../src/contract/quote.ts';
import { contractIdOf } from '../../src/contract/terms.ts';
import type { MakerDeps } from '../../src/maker/maker-options.ts';
import { openingOutcome } from '../../src/maker/opening-budget.ts';
import type { Params } from '../../src/peer/messages.ts';
import { type FundingWallet, keyWallet } from '../../src/settlement/funding-wallet.ts';
import { signTerms } from '../../src/settlement/opening.ts';
import { MakerStand, type MakerStandOptions } from './maker-stand.ts';
import { seedOf, World, type WorldOptions } from './world.ts';

const MINUTE_MS = 60_000;
const nodeIdOf = (name: string): string =>
  toHex(nodeIdBytes(new SeedSigner({ seed: seedOf(name), network: 'regtest' })));
const MINER = nodeIdOf('miner');
const OTHER = nodeIdOf('other');

const MANY = { maxOpenContractsPerMiner: 9, maxTotalBudgetSat: 10n ** 8n };

const REQUEST: QuoteRequest = {
  side: 'sell',
  ...{ workTotalHashes: 400n, stepHashes: 64n, maxUnpaidSteps: 3, expiryBlocks: 1000 },
  ...{ binding: 'payout', target: { easiestHex: 'ff'.repeat(32), hardestHex: 'ff'.repeat(32) } },
};

let stand: MakerStand;
afterEach(() => stand.stop());

/** A maker that lists two miners, each of which may have many contracts. */
async function made(options: MakerStandOptions = {}, world: WorldOptions = {}, of?: World): Promise<void> {
  stand = await MakerStand.of(
    {
      ...options,
      world: { ...world, policy: { ...MANY, ...world.policy } },
      maker: { allowedNodeIds: new Set([MINER, OTHER]), ...options.maker },
    },
    undefined,
    of,
  );
}

describe('a proposal', () => {
  it('is on disk before it is signed, and the same again has the same signature, and counts once', async () => {
    await made();
    const miner = await stand.miner();
    const terms = miner.terms('a1');
    stand.ledger.deathAt = () => 'refused';
    expect(await miner.propose(terms)).toBe('overload');
    expect([stand.channels, await stand.store.list('contract')]).toEqual([[], []]);
    stand.ledger.deathAt = () => undefined;
    const asked = { terms, signature: signTerms(terms, miner.signer) };
    const first = await miner.ask('contract.propose', asked);
    expect(first).toMatchObject({ contractId: contractIdOf(terms) });
    const { appends } = stand.ledger;
    for (let time = 0; time < 4; time += 1)
      expect(await miner.ask('contract.propose', asked)).toEqual(first);
    expect([stand.channels, stand.ledger.appends]).toEqual([['a1 none'], appends]);
    expect(await miner.propose(miner.terms('a1', { minDepth: 1 }))).toBe('bad_terms');
  });

  it('is of the miner that proves its keys: what another has is neither told nor taken (I34)', async () => {
    await made();
    const [miner, other] = [await stand.miner(), await stand.miner('other')];
    const terms = miner.terms('a1');
    expect(await miner.propose(terms)).toBe('signed');
    const signature = signTerms(terms, miner.signer);
    expect(await other.ask('contract.propose', { terms, signature })).toBe('bad_terms');
    const contractId = contractIdOf(terms);
    expect(await other.ask('channel.tx_signatures', { contractId, psbt: 'cHNidP8=' })).toBe(
      'unknown_channel',
    );
    expect(await other.open(terms, miner.coins(terms))).toBe('unknown_channel');
    expect(
      await miner.ask('channel.tx_signatures', { contractId: '11'.repeat(32), psbt: 'cHNidP8=' }),
    ).toBe('unknown_channel');
    const ready = { contractId, txid: '11'.repeat(32), height: 0 };
    expect(await miner.ask('channel.ready', ready)).toBe('bad_funding');
    // Nor is anything signed for one that is not opened.
    expect(await miner.ask('channel.tx_signatures', { contractId, psbt: 'cHNidP8=' })).toBe(
      'unknown_channel',
    );
    // Its own signature counts alone.
    const own = other.terms('a2');
    expect(
      await other.ask('contract.propose', { terms: own, signature: signTerms(own, miner.signer) }),
    ).toBe('bad_signature');
    expect(stand.channels).toEqual(['a1 none']);
  });

  it('is taken so often, and one that is refused is not counted', async () => {
    await made({}, { policy: { maxOpenContractsPerMiner: 2 * LIMITS.peerProposals } });
    const [miner, other] = [await stand.miner(), await stand.miner('other')];
    const nonce = (each: number): string => each.toString(16).padStart(2, '0');
    for (let each = 0; each < LIMITS.peerProposals; each += 1) {
      if (each % 8 === 0) expect(await miner.propose(miner.terms('ff', { minDepth: 1 }))).toBe('bad_terms');
      expect(await miner.propose(miner.terms(nonce(each)))).toBe('signed');
      // What a peer may ask at all is bounded too; so little time brings no other proposal.
      await stand.time.advance(2_000);
    }
    expect(await miner.propose(miner.terms('f0'))).toBe('too_often');
    expect(stand.channels).toHaveLength(LIMITS.peerProposals);
    expect(await other.propose(other.terms('f0'))).toBe('signed');
  });

  it('holds its room for ten minutes, to the millisecond, and none after a restart', async () => {
    await made({}, { policy: { maxOpenContractsPerMiner: 2 } });
    const miner = await stand.miner();
    const next = (nonce: string): Promise<string> => miner.propose(miner.terms(nonce));
    expect([await next('a1'), await next('a2'), await next('a3')]).toEqual([
      ...['signed', 'signed', 'bad_terms'],
    ]);
    await stand.pass(10 * MINUTE_MS);
    expect(await next('a3')).toBe('bad_terms');
    await stand.pass(1);
    expect(await next('a3')).toBe('signed');
    stand = await stand.again({
      world: { policy: { maxOpenContractsPerMiner: 2, maxTotalBudgetSat: 10n ** 8n } },
    });
    const back = await stand.miner();
    expect(stand.channels).toHaveLength(2);
    expect([await back.propose(back.terms('a4')), await back.propose(back.terms('a5'))]).toEqual([
      ...['signed', 'signed'],
    ]);
    expect(await back.propose(back.terms('a6'))).toBe('bad_terms');
  });

  it('is forgotten but for the newest of each miner; what is proposed again is the same, and holds room anew', async () => {
    await made({}, { policy: { maxOpenContractsPerMiner: 2 } });
    const [miner, other] = [await stand.miner(), await stand.miner('other')];
    const signature = async (nonce: string) => {
      const terms = miner.terms(nonce);
      return miner.ask('contract.propose', { terms, signature: signTerms(terms, miner.signer) });
    };
    const first = await signature('a1');
    expect(await miner.propose(miner.terms('a2'))).toBe('signed');
    await stand.pass(11 * MINUTE_MS);
    expect(await miner.propose(miner.terms('a3'))).toBe('signed');
    expect(await other.propose(other.terms('b1'))).toBe('signed');
    // One that is in its time keeps none of them.
    expect(stand.channels).toEqual(['a1 none', 'a2 none', 'a3 none', 'b1 none']);
    await stand.pass(11 * MINUTE_MS);
    expect(stand.channels).toEqual(['a2 none', 'a3 none', 'b1 none']);
    const { appends } = stand.ledger;
    expect(await signature('a1')).toEqual(first);
    expect(stand.ledger.appends).toBe(appends);
    expect(stand.channels).toEqual(['a2 none', 'a3 none', 'b1 none', 'a1 none']);
    expect(await miner.propose(miner.terms('a4'))).toBe('signed');
    expect(await miner.propose(miner.terms('a5'))).toBe('bad_terms');
  });

  it('of strangers is forgotten but for as many as all of them together may have', async () => {
    const strangers = { maxBudgetSat: 10n ** 8n, maxContracts: 2, requireCollateral: false };
    await made({}, { policy: { strangers } });
    const names = ['one', 'two', 'three'];
    for (const [index, name] of names.entries()) {
      const stranger = await stand.miner(name);
      expect(await stranger.propose(stranger.terms(`a${index}`))).toBe('signed');
      await stand.pass(11 * MINUTE_MS);
    }
    expect(stand.channels).toEqual(['a1 none', 'a2 none']);
    const miner = await stand.miner();
    expect(await miner.propose(miner.terms('b1'))).toBe('signed');
    await stand.pass(11 * MINUTE_MS);
    expect(stand.channels).toEqual(['a1 none', 'a2 none', 'b1 none']);
  });

  it('is forgotten once it is too late to fund, and taken in the block before that', async () => {
    await made({}, { isVersion3: true });
    const miner = await stand.miner();
    // Of terms 3 the funding has to be 2 deep by block 500.
    await stand.blocks(498 - stand.world.chain.height - 1);
    expect(await miner.propose(miner.terms('a1'))).toBe('signed');
    await stand.pass(11 * MINUTE_MS);
    expect(stand.channels).toEqual(['a1 none']);
    await stand.blocks(1);
    expect(await miner.propose(miner.terms('a2'))).toBe('signed');
    expect(stand.channels).toEqual(['a1 none', 'a2 none']);
    await stand.blocks(1);
    await stand.pass(1);
    expect(await miner.propose(miner.terms('a3'))).toBe('expiry_near');
    expect(stand.channels).toEqual(['a2 none']);
    await stand.pass(11 * MINUTE_MS);
    expect(stand.channels).toEqual([]);
  });
});

describe('an opening', () => {
  it('is one at a time for each miner, and the same message has the same answer', async () => {
    await made();
    const [miner, other] = [await stand.miner(), await stand.miner('other')];
    for (const [of, nonce] of [
      [miner, 'a1'],
      [miner, 'a2'],
      [other, 'b1'],
    ] as const)
      expect(await of.propose(of.terms(nonce))).toBe('signed');
    const terms = miner.terms('a1');
    const open = await miner.opening(terms);
    const accept = await miner.ask('channel.open', open);
    expect(accept).toMatchObject({ state0: { n: 0 } });
    expect(await miner.ask('channel.open', open)).toEqual(accept);
    const payoutScript = Uint8Array.of(...open.payoutScript.slice(0, -1), 1);
    expect(await miner.ask('channel.open', { ...open, payoutScript })).toBe('bad_funding');
    expect(await miner.open(miner.terms('a2'), miner.coins(terms))).toBe('wrong_status');
    expect(stand.channels).toEqual(['a1 opening', 'a2 none', 'b1 none']);
    // Another miner has nothing to do with that.
    expect(await other.open(other.terms('b1'), miner.coins(terms))).toBe('opened');
  });

  it('that is funded keeps its miner from the next until it is in a block', async () => {
    await made();
    const miner = await stand.miner();
    for (const nonce of ['a1', 'a2']) expect(await miner.propose(miner.terms(nonce))).toBe('signed');
    const spent = await miner.coins(miner.terms('a1'));
    expect(await miner.fund(miner.terms('a1'))).toBe('funded');
    expect(stand.channels).toEqual(['a1 funding', 'a2 none']);
    expect(await miner.open(miner.terms('a2'), Promise.resolve(spent))).toBe('wrong_status');
    await stand.blocks(1);
    expect(await miner.open(miner.terms('a2'))).toBe('opened');
  });

  it('that comes late is judged again by what is paid now; in its time there has to be room alone', async () => {
    const world = new World();
    const applyPolicy = ({ max }: Readonly<Record<string, string>>) => ({
      ...world.policy,
      ...{ maxOpenContractsPerMiner: 2, maxTotalBudgetSat: 10n ** 8n },
      ...(max === undefined ? {} : { maxPriceMsatPerEh: BigInt(max) }),
    });
    await made({ deps: { applyPolicy } }, { policy: { maxOpenContractsPerMiner: 2 } });
    const miner = await stand.miner();
    const [a1, a2] = [miner.terms('a1'), miner.terms('a2')];
    expect([await miner.propose(a1), await miner.propose(a2)]).toEqual(['signed', 'signed']);
    await stand.maker.policies.set({ max: `${world.policy.maxPriceMsatPerEh - 1n}` });
    // Its own room is none that it needs.
    expect(await miner.open(a1)).toBe('opened');
    await stand.pass(10 * MINUTE_MS + 1);
    await stand.pass(MINUTE_MS);
    expect(stand.channels).toEqual(['a1 failed', 'a2 none']);
    await stand.pass(10 * MINUTE_MS);
    expect(await miner.open(a2)).toBe('bad_terms');
    await stand.maker.policies.set({ max: undefined });
    expect(await miner.open(a2)).toBe('opened');
  });

  it('in its time needs the room that is left beside the others', async () => {
    let most = 3;
    const world = new World();
    const applyPolicy = () => ({
      ...world.policy,
      ...{ maxOpenContractsPerMiner: most, maxTotalBudgetSat: 10n ** 8n },
    });
    await made({ deps: { applyPolicy } }, { policy: { maxOpenContractsPerMiner: 3 } });
    const miner = await stand.miner();
    const all = ['a1', 'a2', 'a3'].map((nonce) => miner.terms(nonce));
    for (const terms of all) expect(await miner.propose(terms)).toBe('signed');
    most = 2;
    await stand.maker.policies.set({ less: '2' });
    expect(await miner.open(all[0]!)).toBe('bad_terms');
    most = 3;
    await stand.maker.policies.set({ less: '3' });
    expect(await miner.open(all[0]!)).toBe('opened');
  });

  it('in its time needs the hashrate that is left in its own', async () => {
    let maxRateHps: bigint | undefined;
    const world = new World();
    const applyPolicy = () => ({
      ...{ ...world.policy, ...MANY },
      ...(maxRateHps === undefined ? {} : { maxRateHps }),
    });
    await made({ deps: { applyPolicy } });
    const miner = await stand.miner();
    const terms = miner.terms('a1');
    expect(await miner.propose(terms)).toBe('signed');
    maxRateHps = 0n;
    await stand.maker.policies.set({ less: 'hashrate' });
    expect(await miner.open(terms)).toBe('bad_terms');
    maxRateHps = 10n ** 6n;
    await stand.maker.policies.set({ less: 'no more' });
    expect(await miner.open(terms)).toBe('opened');
  });

  it('that the miner never signs is given up after ten minutes, and whoever asked for it has to wait', async () => {
    await made();
    const [miner, other] = [await stand.miner(), await stand.miner('other')];
    const coins = miner.coins(miner.terms('a1'));
    for (const nonce of ['a1', 'a2']) expect(await miner.propose(miner.terms(nonce))).toBe('signed');
    expect(await other.propose(other.terms('b1'))).toBe('signed');
    expect(await miner.open(miner.terms('a1'), coins)).toBe('opened');
    await stand.pass(10 * MINUTE_MS);
    expect(stand.channels[0]).toBe('a1 opening');
    await stand.pass(30_000);
    expect(stand.channels[0]).toBe('a1 failed');
    const record = JSON.parse((await stand.store.get('channel', contractIdOf(miner.terms('a1'))))!);
    expect(record).toMatchObject({ reason: 'the miner never signed the funding' });
    expect(await miner.open(miner.terms('a1'))).toBe('wrong_status');
    // The peer with any coin, and any peer with the coin.
    expect(await miner.open(miner.terms('a2'))).toBe('too_often');
    expect(await other.open(other.terms('b1'), coins)).toBe('too_often');
    await stand.pass(10 * MINUTE_MS);
    expect(await other.open(other.terms('b1'), coins)).not.toBe('too_often');
    expect(await miner.open(miner.terms('a2'))).toBe('opened');
  });

  it('that is signed is not given up, however long its block takes, and leaves nobody waiting', async () => {
    await made();
    const miner = await stand.miner();
    for (const nonce of ['a1', 'a2']) expect(await miner.propose(miner.terms(nonce))).toBe('signed');
    expect(await miner.fund(miner.terms('a1'))).toBe('funded');
    await stand.pass(40 * MINUTE_MS);
    expect(stand.channels[0]).toBe('a1 funding');
    await stand.blocks(1);
    await stand.pass(MINUTE_MS);
    expect(await miner.propose(miner.terms('a2'))).toBe('signed');
    expect(await miner.open(miner.terms('a2'))).toBe('opened');
  });

  it('that cannot be given up on disk is said, and given up with the next look', async () => {
    await made();
    const miner = await stand.miner();
    expect(await miner.propose(miner.terms('a1'))).toBe('signed');
    expect(await miner.open(miner.terms('a1'))).toBe('opened');
    stand.ledger.deathAt = () => 'refused';
    await stand.pass(11 * MINUTE_MS);
    expect(stand.channels).toEqual(['a1 opening']);
    const said = stand.log.lines.filter(([, , text]) => text === 'not given up yet');
    expect(said.length).toBeGreaterThan(0);
    const { proposed } = stand.world;
    const contract = contractIdOf({ ...miner.terms('a1'), minerNodeId: proposed.minerNodeId } as never);
    expect(said[0]).toEqual(['warn', { contract, code: 'overload' }, 'not given up yet']);
    stand.ledger.deathAt = () => undefined;
    await stand.pass(30_000);
    expect(stand.channels).toEqual(['a1 failed']);
  });

  it('that this side cannot go on with is left as it is, and nothing is tried of it', async () => {
    await made();
    const miner = await stand.miner();
    const terms = miner.terms('a1');
    const coins = miner.coins(terms);
    expect([await miner.propose(terms), await miner.open(terms, coins)]).toEqual(['signed', 'opened']);
    stand.store.failNext(new CodedError('ledger_io'));
    expect(await miner.fund(terms, coins)).toBe('channel_frozen');
    await stand.pass(11 * MINUTE_MS);
    expect(stand.channels).toEqual(['a1 opening']);
    expect(stand.log.lines.filter(([, , text]) => text === 'not given up yet')).toEqual([]);
  });

  it('that was refused is forgotten with its proposal, and holds up no other', async () => {
    await made({}, { policy: { maxOpenContractsPerMiner: 1 } });
    const miner = await stand.miner();
    const [first, second] = [miner.terms('a1'), miner.terms('a2')];
    expect(await miner.propose(first)).toBe('signed');
    const gone = miner.coins(first).then((funding) => ({
      ...funding,
      inputs: funding.inputs.map((input) => ({ ...input, txid: '11'.repeat(32) })),
    }));
    expect(await miner.open(first, gone)).toBe('bad_funding');
    await stand.pass(11 * MINUTE_MS);
    expect(await miner.propose(second)).toBe('signed');
    await stand.pass(11 * MINUTE_MS);
    expect(stand.channels).toEqual(['a2 none']);
    expect(await miner.propose(second)).toBe('signed');
    expect(await miner.open(second)).toBe('opened');
    await stand.pass(11 * MINUTE_MS);
    expect(stand.channels).toEqual(['a2 failed']);
  });

  it('is given up at the height from which it would be refused, whatever its time', async () => {
    await made({}, { terms: { expiryHeight: 80 }, policy: { minExpiryBlocks: 40 } });
    const miner = await stand.miner();
    const terms = miner.terms('a1');
    expect(await miner.propose(terms)).toBe('signed');
    expect(await miner.open(terms)).toBe('opened');
    await stand.blocks(80 - 40 - 1 - stand.world.chain.height);
    expect(stand.channels).toEqual(['a1 opening']);
    await stand.blocks(1);
    expect(stand.channels).toEqual(['a1 failed']);
  });

  it('of an earlier run has its time from the start on', async () => {
    await made();
    const before = await stand.miner();
    expect(await before.propose(before.terms('a1'))).toBe('signed');
    expect(await before.open(before.terms('a1'))).toBe('opened');
    stand = await stand.again({ maker: { allowedNodeIds: new Set([MINER]) } });
    await stand.pass(10 * MINUTE_MS);
    expect(stand.channels).toEqual(['a1 opening']);
    await stand.pass(30_000);
    expect(stand.channels).toEqual(['a1 failed']);
  });
});

/** The same coins, whoever signs. */
const coinsOf = async ({ funding }: Params<'channel.open'>): Promise<Params<'channel.open'>['funding']> =>
  funding;

describe('the wallet of the maker', () => {
  /** A wallet whose funding is signed by somebody who takes their time. */
  function slow(world: World): {
    readonly world: World;
    readonly wallet: FundingWallet;
    isThere: boolean;
  } {
    const own = keyWallet({ chain: world.source, signer: world.makerSigner });
    const of = {
      world,
      isThere: false,
      wallet: {
        ...own,
        sign: async (...args: Parameters<FundingWallet['sign']>) => {
          if (!of.isThere) throw new CodedError('funding_unsigned');
          return own.sign(...args);
        },
      } as FundingWallet,
    };
    return of;
  }

  it('may take its time: the miner has signed, and its opening is none that nobody goes on with', async () => {
    const of = slow(new World({ policy: MANY }));
    await made({ deps: { wallet: of.wallet } }, {}, of.world);
    const miner = await stand.miner();
    const terms = miner.terms('a1');
    expect(await miner.propose(terms)).toBe('signed');
    const coins = miner.coins(terms);
    expect(await miner.fund(terms, coins)).toBe('funding_unsigned');
    await stand.pass(9 * MINUTE_MS);
    expect(await miner.fund(terms, coins)).toBe('funding_unsigned');
    await stand.pass(9 * MINUTE_MS);
    expect(stand.channels).toEqual(['a1 opening']);
    of.isThere = true;
    expect(await miner.fund(terms, coins)).toBe('funded');
    // Asked again it is signed again, the same, and stored once.
    const { appends } = stand.ledger;
    expect([await miner.fund(terms, coins), stand.ledger.appends]).toEqual(['funded', appends]);
    expect(stand.channels).toEqual(['a1 funding']);
  });

  it('holds the coins of an opening from before it is answered until it is over, however that is', async () => {
    const told: string[] = [];
    const world = new World({ policy: MANY });
    const own = keyWallet({ chain: world.source, signer: world.makerSigner });
    const name = (coins: readonly { readonly vout: number }[]): string => `${coins.length}`;
    const wallet: FundingWallet = {
      ...own,
      holds: {
        hold: async (coins) => void told.push(`hold ${name(coins)}`),
        release: async (coins) => void told.push(`release ${name(coins)}`),
        held: async () => [],
      },
    };
    await made({ deps: { wallet } }, {}, world);
    const miner = await stand.miner();
    for (const nonce of ['a1', 'a2']) expect(await miner.propose(miner.terms(nonce))).toBe('signed');
    const terms = miner.terms('a1');
    stand.ledger.deathAt = (entries) =>
      entries.some(({ kind }) => kind === 'opening') ? 'refused' : undefined;
    expect(await miner.open(terms)).toBe('overload');
    expect([told.splice(0), stand.channels[0]]).toEqual([['hold 1', 'release 1'], 'a1 none']);
    stand.ledger.deathAt = () => undefined;
    expect(await miner.open(terms)).toBe('opened');
    await stand.pass(9 * MINUTE_MS);
    expect(told).toEqual(['hold 1']);
    await stand.pass(2 * MINUTE_MS);
    expect([told, stand.channels[0]]).toEqual([['hold 1', 'release 1'], 'a1 failed']);
  });

  it('has coins that no opening needs, for what else a channel costs', async () => {
    await made();
    const [miner, { makerSigner, source }] = [await stand.miner(), stand.world];
    const terms = miner.terms('a1');
    expect(await miner.propose(terms)).toBe('signed');
    const open = await miner.opening(terms);
    const accept = await miner.ask('channel.open', open);
    const taken = typeof accept === 'string' ? [] : accept.funding.inputs;
    const all = await listUtxos(source, makerSigner.publicKey('wallet'));
    expect([all.length, taken.length]).toEqual([2, 1]);
    // The other one is left for a second opening, and no third: none is spent twice.
    const other = await stand.miner('other');
    for (const nonce of ['b1', 'b2']) expect(await other.propose(other.terms(nonce))).toBe('signed');
    const second = await other.ask('channel.open', await other.opening(other.terms('b1'), coinsOf(open)));
    const inputs = typeof second === 'string' ? [] : second.funding.inputs;
    expect(inputs.map(({ txid, vout }) => `${txid}:${vout}`)).not.toContain(
      `${taken[0]!.txid}:${taken[0]!.vout}`,
    );
    expect(inputs).toHaveLength(1);
  });

  it('that never signs is waited for as long as a miner that does not', async () => {
    await made();
    const miner = await stand.miner();
    const terms = miner.terms('a1');
    expect(await miner.propose(terms)).toBe('signed');
    const coins = miner.coins(terms);
    // What is refused for another reason holds nothing longer.
    expect(await miner.open(terms, coins)).toBe('opened');
    await stand.pass(9 * MINUTE_MS);
    const contractId = contractIdOf(terms);
    expect(await miner.ask('channel.tx_signatures', { contractId, psbt: 'cHNidP8=' })).toBe('bad_psbt');
    await stand.pass(2 * MINUTE_MS);
    expect(stand.channels).toEqual(['a1 failed']);
  });
});

describe('while no block is heard of', () => {
  it('nothing begins, and what was begun goes on afterwards', async () => {
    let tell!: (of: { readonly isStalled: boolean }) => void;
    const chainClock = {
      watch: (onChange: typeof tell) => {
        tell = onChange;
        return () => {};
      },
    } as unknown as NonNullable<MakerDeps['chainClock']>;
    await made({ deps: { chainClock } });
    const miner = await stand.miner();
    const [terms, later] = [miner.terms('a1'), miner.terms('a2')];
    expect(await miner.propose(terms)).toBe('signed');
    const coins = miner.coins(terms);
    tell({ isStalled: true });
    expect([
      await miner.propose(later),
      await miner.fund(terms, coins),
      await miner.ask('market.quote', { request: REQUEST }),
      await miner.ask('channel.tx_signatures', { contractId: contractIdOf(terms), psbt: 'cHNidP8=' }),
    ]).toEqual(['wrong_status', 'wrong_status', 'wrong_status', 'wrong_status']);
    expect(stand.channels).toEqual(['a1 none']);
    tell({ isStalled: false });
    expect([await miner.propose(later), await miner.fund(terms, coins)]).toEqual(['signed', 'funded']);
  });
});

it('what a block is worth in beads is asked of the node for terms that are bound by them alone', async () => {
  const asked: string[] = [];
  const chain = (source: ChainSource): ChainSource =>
    new Proxy(source, {
      get: (target, name, receiver) =>
        name === 'header'
          ? async (hash: string) => {
              asked.push(hash);
              return target.header(hash);
            }
          : (Reflect.get(target, name, receiver) as unknown),
    });
  await made({ chain });
  const miner = await stand.miner();
  expect(await miner.propose(miner.terms('a1'))).toBe('signed');
  await miner.ask('market.quote', { request: REQUEST });
  expect(asked).toEqual([]);
  await miner.ask('market.quote', { request: { ...REQUEST, binding: 'bead' } });
  expect(asked).toEqual([stand.world.chain.tip().hash]);
});

it('what an opening came to is known once it is in a block, or its coins went elsewhere', () => {
  const outcome = (status: string | undefined, fundingDepth: number, reason = ''): string =>
    openingOutcome({
      channel: status === undefined ? undefined : { status, reason },
      stream: { fundingDepth },
    } as never);
  for (const depth of [0, 1]) {
    expect([outcome(undefined, depth), outcome('opening', depth)]).toEqual(['waits', 'waits']);
    expect(outcome('failed', depth, 'the miner never signed the funding')).toBe('failed');
    for (const status of ['open', 'closing', 'closed']) {
      expect(outcome(status, depth)).toBe('succeeded');
      expect(outcome(status, depth, 'cooperative')).toBe('succeeded');
      expect(outcome(status, depth, SPENT_ELSEWHERE)).toBe('failed');
    }
  }
  expect([outcome('funding', 0), outcome('funding', 1)]).toEqual(['waits', 'succeeded']);
});
