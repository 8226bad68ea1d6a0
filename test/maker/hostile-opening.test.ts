import { Psbt, Transaction } from 'bitcoinjs-lib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { systemClock } from '../../src/base/clock.ts';
import { codeOf } from '../../src/base/errors.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { NETWORKS } from '../../src/bitcoin/network.ts';
import { DEFAULT_CLOSE_MARGINS } from '../../src/chain/watcher.ts';
import { signFundingInputs } from '../../src/channel/funding.ts';
import { makerKeysOf, minerKeysOf } from '../../src/channel/keys.ts';
import { minerContributionSat } from '../../src/channel/params.ts';
import { fundingPsbt } from '../../src/channel/psbt.ts';
import { publicKeyHashOutput } from '../../src/channel/scripts.ts';
import { SeedSigner } from '../../src/channel/signer.ts';
import { contractIdOf } from '../../src/contract/terms.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { CoinHolds } from '../../src/maker/coin-holds.ts';
import { acceptOpening, completeFunding } from '../../src/maker/maker-opening.ts';
import { MakerStore } from '../../src/maker/maker-store.ts';
import { firstClaim } from '../../src/miner/miner-seal.ts';
import { call, handler } from '../../src/peer/calls.ts';
import type { Params, Result } from '../../src/peer/messages.ts';
import type { RpcPeer } from '../../src/peer/rpc-peer.ts';
import {
  type AssembledChannel,
  assembleChannel,
  chooseFundingSide,
  signTerms,
  walletScript,
} from '../../src/settlement/opening.ts';
import { withInput, withTransaction } from '../channel/psbt-fixtures.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { connectAsMiner, serveAsMaker } from './impostors.ts';
import { seedOf, until, World } from './world.ts';

type Open = Params<'channel.open'>;
type Accept = Result<'channel.open'>;

const FUTURE_SCRIPT = Uint8Array.of(0x60, 0x20, ...seedOf('a version of tomorrow'));
const stranger = new SeedSigner({ seed: seedOf('stranger'), network: 'regtest' });
const seal = { sealSat: 3000n, claimFeeRateSatPerKvb: 2000 };
const stakes = {
  ...{ bondModes: ['none'] as const, maxMakerBondSat: 0n, minCollateralSat: 0n, auditorKeysHex: [] },
  ...{ minBondCsvBlocks: 1, maxBondCsvBlocks: 2016, seal: 'required' as const },
  ...{ minClaimFeeRateSatPerKvb: 1000, earlyClose: 'refused' as const },
};

function worldWithSeal(): World {
  return new World({ terms: { seal }, policy: { stakes } });
}

/** PSBTs that differ from what both worked out. */
const PSBT_CHANGES: readonly (readonly [string, (psbt: string) => string, string])[] = [
  ['no PSBT', () => 'AAAA', 'bad_psbt'],
  [
    'an extra output',
    (psbt) => withTransaction(psbt, (tx) => void tx.addOutput(FUTURE_SCRIPT, 1000n)),
    'bad_psbt',
  ],
  [
    'an output of dust',
    (psbt) =>
      withTransaction(psbt, (tx) => {
        tx.outs[0]!.value = 100n;
      }),
    'bad_psbt',
  ],
  [
    'an output to another script',
    (psbt) =>
      withTransaction(psbt, (tx) => {
        tx.outs[0]!.script = FUTURE_SCRIPT;
      }),
    'bad_psbt',
  ],
  [
    'a higher fee: one sat less paid',
    (psbt) =>
      withTransaction(psbt, (tx) => {
        tx.outs.at(-1)!.value -= 1n;
      }),
    'bad_psbt',
  ],
  [
    'a changed sequence',
    (psbt) =>
      withTransaction(psbt, (tx) => {
        tx.ins[0]!.sequence = 0xffff_ffff;
      }),
    'bad_psbt',
  ],
  [
    'an extra input',
    (psbt) => withTransaction(psbt, (tx) => void tx.addInput(seedOf('coin'), 0)),
    'bad_psbt',
  ],
  [
    'a locktime',
    (psbt) =>
      withTransaction(psbt, (tx) => {
        tx.locktime = 5;
      }),
    'bad_psbt',
  ],
  [
    'another version',
    (psbt) =>
      withTransaction(psbt, (tx) => {
        tx.version = 1;
      }),
    'bad_psbt',
  ],
  [
    'an input that is not native segwit',
    (psbt) =>
      withInput(psbt, (input) => {
        input.redeemScript = Uint8Array.of(0x51);
      }),
    'bad_psbt',
  ],
  [
    'a coin of another value',
    (psbt) =>
      withInput(psbt, (input) => {
        input.witnessUtxo!.value += 1n;
      }),
    'bad_psbt',
  ],
  [
    'another hash type',
    (psbt) =>
      withInput(psbt, (input) => {
        input.sighashType = Transaction.SIGHASH_NONE;
      }),
    'bad_psbt',
  ],
  [
    'another network',
    (psbt) => {
      const text = Buffer.from(psbt, 'base64').toString('hex');
      const ours = toHex(Uint8Array.from(Buffer.from(NETWORKS.regtest.genesisHash, 'hex')).reverse());
      const theirs = toHex(Uint8Array.from(Buffer.from(NETWORKS.mainnet.genesisHash, 'hex')).reverse());
      return Buffer.from(text.replace(ours, theirs), 'hex').toString('base64');
    },
    'wrong_chain',
  ],
];

describe('a miner that opens what it should not', () => {
  const world = worldWithSeal();
  const { contractId, terms, minerSigner } = world;
  const keys = minerSigner.forChannel(0);
  let peer: RpcPeer;
  let good: Open;

  beforeAll(async () => {
    await world.startMaker({ allowedNodeIds: new Set([terms.minerNodeId]) });
    peer = await connectAsMiner(world);
    await call(peer, 'contract.propose', { terms, signature: signTerms(terms, minerSigner) });
    const contributionSat = minerContributionSat(terms);
    const funding = await chooseFundingSide(
      { contributionSat, feeRateSatPerKvb: 5000, reserved: new Set() },
      { chain: world.source, signer: minerSigner },
    );
    good = { contractId, keys: minerKeysOf(keys, terms), payoutScript: walletScript(minerSigner), funding };
  });
  afterAll(async () => {
    peer.close();
    await world.stop();
  });

  const ask = (open: Open): Promise<string> =>
    call(peer, 'channel.open', open).then(() => 'opened', codeOf);
  const input = (): Open['funding']['inputs'][number] => good.funding.inputs[0]!;
  const withFunding = (change: Partial<Open['funding']>): Open => {
    return { ...good, funding: { ...good.funding, ...change } };
  };

  it.each<[string, () => Open | Promise<Open>, string]>([
    [
      'a coin that is not there',
      () => withFunding({ inputs: [{ ...input(), txid: '11'.repeat(32) }] }),
      'bad_funding',
    ],
    [
      'a coin worth less than it says',
      () => withFunding({ inputs: [{ ...input(), valueSat: input().valueSat + 1n }] }),
      'bad_funding',
    ],
    [
      'a coin of another script, as one that is not segwit',
      () => withFunding({ inputs: [{ ...input(), publicKeyHex: toHex(stranger.publicKey('wallet')) }] }),
      'bad_funding',
    ],
    [
      'a coin of the maker',
      async () => {
        const request = { contributionSat: 1000n, feeRateSatPerKvb: 1000, reserved: new Set<string>() };
        const deps = { chain: world.source, signer: world.makerSigner };
        return withFunding({ inputs: (await chooseFundingSide(request, deps)).inputs });
      },
      'bad_funding',
    ],
    ['the same coin twice', () => withFunding({ inputs: [input(), input()] }), 'bad_funding'],
    ['change to a script of tomorrow', () => withFunding({ changeScript: FUTURE_SCRIPT }), 'bad_terms'],
    ['payout to a script of tomorrow', () => ({ ...good, payoutScript: FUTURE_SCRIPT }), 'bad_terms'],
    [
      'no key for the seal',
      () => ({ ...good, keys: { minerChannel: keys.publicKey('channel') } }),
      'bad_terms',
    ],
    [
      'a key that the terms do not have',
      () => ({ ...good, keys: { ...good.keys, minerBond: keys.publicKey('bond') } }),
      'bad_terms',
    ],
    [
      'one key twice',
      () => ({ ...good, keys: { ...good.keys, minerSeal: keys.publicKey('channel') } }),
      'bad_terms',
    ],
  ])('%s', async (_name, open, code) => {
    expect(await ask(await open())).toBe(code);
    expect(await world.makerStore.list('state')).toEqual([]);
  });

  describe('and the PSBT of its inputs', () => {
    let assembled: AssembledChannel;
    let psbt: string;
    let claim: Params<'channel.tx_signatures'>['claim'];

    beforeAll(async () => {
      const accept = await call(peer, 'channel.open', good);
      assembled = assembleChannel(terms, good, accept);
      const { funding } = assembled;
      const signatures = signFundingInputs(funding, 'miner', minerSigner);
      psbt = fundingPsbt(funding, 'regtest', 'miner', signatures, minerSigner);
      claim = firstClaim(assembled, keys).claim;
    });

    const sign = (params: Partial<Params<'channel.tx_signatures'>>): Promise<string> => {
      const request = { contractId, psbt, ...(claim === undefined ? {} : { claim }), ...params };
      return call(peer, 'channel.tx_signatures', request).then(() => 'signed', codeOf);
    };

    it.each(PSBT_CHANGES)('with %s', async (_name, change, code) => {
      expect(await sign({ psbt: change(psbt) })).toBe(code);
      expect(await world.makerStore.list('funding')).toEqual([]);
    });

    it('not signed, or by another key', async () => {
      const bare = Psbt.fromBase64(psbt);
      for (const input of bare.data.inputs) delete input.partialSig;
      expect(await sign({ psbt: bare.toBase64() })).toBe('bad_signature');
      const makers = signFundingInputs(assembled.funding, 'maker', world.makerSigner);
      const ofMaker = fundingPsbt(assembled.funding, 'regtest', 'maker', makers, minerSigner);
      expect(await sign({ psbt: ofMaker })).toBe('bad_signature');
      expect(await world.makerStore.list('funding')).toEqual([]);
    });

    it('without claim 0 of the seal, or with another claim', async () => {
      const without = call(peer, 'channel.tx_signatures', { contractId, psbt });
      expect(await without.then(() => 'signed', codeOf)).toBe('bad_terms');
      expect(await sign({ claim: { ...claim!, n: 1 } })).toBe('bad_amount');
      expect(await sign({ claim: { ...claim!, shareRoot: seedOf('root') } })).toBe('bad_amount');
      expect(await sign({ claim: { ...claim!, signature: '11'.repeat(64) } })).toBe('bad_signature');
      expect(await world.makerStore.list('funding')).toEqual([]);
      expect(world.chain.mempoolEntries()).toEqual([]);
    });

    it('as agreed is signed by the maker, again and again the same', async () => {
      const request = { contractId, psbt, claim: claim! };
      const answer = await call(peer, 'channel.tx_signatures', request);
      expect(await call(peer, 'channel.tx_signatures', request)).toEqual(answer);
      await until('broadcast', () => world.chain.mempoolEntries().length === 1);
      expect(world.chain.mempoolEntries()[0]!.txid).toBe(assembled.funding.txid);
    });
  });
});

/** A maker that opens by the store, but for one answer. */
class CrookedMaker {
  readonly world = worldWithSeal();
  signaturesSeen = 0;
  readonly #change: (accept: Accept) => Accept;
  readonly #changePsbt: (psbt: string) => string;
  #close: (() => Promise<void>) | undefined;

  constructor(change: (accept: Accept) => Accept, changePsbt: (psbt: string) => string = (psbt) => psbt) {
    this.#change = change;
    this.#changePsbt = changePsbt;
  }

  async start(): Promise<void> {
    const { world } = this;
    const { terms, makerSigner: signer, source: chain } = world;
    const ledger = new MemoryLedger();
    const deps = { ledger, signer, clock: systemClock, timers: systemTimers, log: silentLogger };
    const makerSignature = signTerms(terms, signer);
    const contractId = contractIdOf(terms);
    let store: MakerStore | undefined;
    const margins = DEFAULT_CLOSE_MARGINS;
    const holds = new CoinHolds({ ledger, log: silentLogger });
    this.#close = await serveAsMaker(world, {
      'contract.propose': handler('contract.propose', async ({ signature: minerSignature }) => {
        const record = { version: 1, role: 'maker', terms, minerSignature, makerSignature } as const;
        store ??= MakerStore.create(contractId, { ...record, channelIndex: 0 }, deps);
        return { contractId, signature: makerSignature };
      }),
      'channel.open': handler('channel.open', async (open) => {
        const options = { margins, fundingTargetBlocks: 6, fallbackFeeRateSatPerKvb: 5000 };
        return this.#change(
          await acceptOpening(store!, open, new Set(), options, { chain, signer, holds }),
        );
      }),
      'channel.tx_signatures': handler('channel.tx_signatures', async (params) => {
        this.signaturesSeen += 1;
        const { psbt } = await completeFunding(store!, params, { margins }, { chain, signer });
        return { psbt: this.#changePsbt(psbt) };
      }),
    });
    await world.startMiner();
  }

  async stop(): Promise<void> {
    await this.world.stop();
    await this.#close?.();
  }
}

describe('a maker that opens what it should not', () => {
  const minerCoin = (accept: Accept): Accept => {
    const publicKeyHex = toHex(
      new SeedSigner({ seed: seedOf('miner'), network: 'regtest' }).publicKey('wallet'),
    );
    const inputs = accept.funding.inputs.map((input) => ({ ...input, publicKeyHex }));
    return { ...accept, funding: { ...accept.funding, inputs } };
  };
  const coin = (accept: Accept, change: object): Accept => {
    const inputs = accept.funding.inputs.map((input) => ({ ...input, ...change }));
    return { ...accept, funding: { ...accept.funding, inputs } };
  };

  it.each<[string, (accept: Accept) => Accept, string]>([
    ['a fee rate above the cap', (a) => ({ ...a, feeRateSatPerKvb: 200_001 }), 'bad_funding'],
    ['coins that are not there', (a) => coin(a, { txid: '22'.repeat(32) }), 'bad_funding'],
    ['coins of another value', (a) => coin(a, { valueSat: 50_000_000n }), 'bad_funding'],
    ['coins of the miner', minerCoin, 'bad_funding'],
    ['payout to a script of tomorrow', (a) => ({ ...a, payoutScript: FUTURE_SCRIPT }), 'bad_terms'],
    ['a next seal of tomorrow', (a) => ({ ...a, nextSealScript: FUTURE_SCRIPT }), 'bad_terms'],
    ['no next seal', ({ nextSealScript: _left, ...a }) => a, 'bad_terms'],
    [
      'a next seal that is not in what it signed',
      (a) => ({ ...a, nextSealScript: publicKeyHashOutput(stranger.publicKey('wallet')) }),
      'bad_signature',
    ],
    [
      'a refund key that is not in what it signed',
      (a) => ({ ...a, keys: { ...a.keys, makerRefund: stranger.publicKey('refund') } }),
      'bad_signature',
    ],
    [
      'a bond key that the terms do not have',
      (a) => ({
        ...a,
        keys: { ...a.keys, makerBond: makerKeysOf(stranger, worldWithSeal().terms).makerRefund },
      }),
      'bad_terms',
    ],
    [
      'state 0 with a signature changed',
      (a) => ({ ...a, state0: { ...a.state0, receiptSignature: '11'.repeat(64) } }),
      'bad_signature',
    ],
    [
      'a state that is not the first',
      (a) => ({ ...a, state0: { ...a.state0, n: 1 } }),
      'wrong_state_number',
    ],
  ])('%s', async (_name, change, code) => {
    const maker = new CrookedMaker(change);
    await maker.start();
    await until('refused', () => maker.world.miner.status.lastError === code);
    expect(maker.signaturesSeen).toBe(0);
    expect(await maker.world.minerStore.list('state')).toEqual([]);
    await maker.stop();
  });

  it.each(PSBT_CHANGES)('a PSBT with %s', async (_name, change, code) => {
    const maker = new CrookedMaker((accept) => accept, change);
    await maker.start();
    await until('refused', () => maker.world.miner.status.lastError === code);
    expect(await maker.world.minerStore.list('funding')).toEqual([]);
    await maker.stop();
  });
});

it('terms in which the miner is the larger contributor are not signed by either', async () => {
  const world = new World({ terms: { minerReserveSat: 1_001_001n } });
  await world.startMaker();
  await world.startMiner();
  await until('refused', () => world.miner.status.lastError === 'bad_terms');
  expect(await world.minerStore.list('contract')).toEqual([]);
  const peer = await connectAsMiner(world);
  const { terms } = world;
  const proposal = { terms, signature: signTerms(terms, world.minerSigner) };
  expect(await call(peer, 'contract.propose', proposal).then(() => 'taken', codeOf)).toBe('bad_terms');
  peer.close();
  await world.stop();
});
