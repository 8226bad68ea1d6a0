import * as crypto from 'node:crypto';
import { address, Transaction } from 'bitcoinjs-lib';
import { toHex } from '../../src/base/bytes.ts';
import { codeOf } from '../../src/base/errors.ts';
import { sha256 } from '../../src/base/hash.ts';
import { NETWORKS } from '../../src/bitcoin/network.ts';
import { p2wpkhScript } from '../../src/chain/wallet.ts';
import {
  type BondCoin,
  type BondSignatory,
  type BondSpend,
  bondCoins,
  finalizeBondSpend,
  signBondSpend,
} from '../../src/channel/bonds.ts';
import {
  buildFunding,
  type Funding,
  finalizeFunding,
  signFundingInputs,
} from '../../src/channel/funding.ts';
import { makerKeysOf, minerKeysOf } from '../../src/channel/keys.ts';
import { MonotoneSigner } from '../../src/channel/monotone-signer.ts';
import { type ChannelParams, channelFacts } from '../../src/channel/params.ts';
import { type SignedSealClaim, signAndFinalizeSealClaim, signSealClaim } from '../../src/channel/seal.ts';
import { nodeIdBytes, SeedSigner } from '../../src/channel/signer.ts';
import { type SignedState, signAndFinalizeState } from '../../src/channel/states.ts';
import {
  contractIdOf,
  DEFAULT_FEE_LADDER_SAT_PER_KVB,
  type TermsV1or2,
  type TermsV3,
} from '../../src/contract/terms.ts';
import { termsV3From } from '../../src/contract/terms-upgrade.ts';
import { EH } from '../channel/fixtures.ts';
import type { Bank } from './bank.ts';
import type { TestNode } from './node.ts';

export const COLLATERAL_SAT = 60_000n;
export const MAKER_BOND_SAT = 40_000n;
export const BOND_CSV_BLOCKS = 2016;
/** Of every transaction here that is not a rung of a state. */
export const RATE = 2_000;
const MAKER_COIN_SAT = 700_000n;
const MINER_COIN_SAT = 200_000n;
const WORK_TOTAL = 1000n * EH;

type Name = 'miner' | 'maker' | 'auditor';
type Payouts = Readonly<Record<'miner' | 'maker', SeedSigner>>;

/** A channel on a node, from the builders of the product: what two sides and an auditor could do with it. */
export class StakedChannel {
  readonly node: TestNode;
  readonly params: ChannelParams;
  readonly funding: Funding;
  readonly signers: Readonly<Record<Name, SeedSigner>>;
  /** Hold the keys of the payout scripts, in the role of wallets. */
  readonly payouts: Payouts;
  readonly #monotone: MonotoneSigner;
  readonly #source;

  private constructor(
    node: TestNode,
    params: ChannelParams,
    funding: Funding,
    signers: Readonly<Record<Name, SeedSigner>>,
    payouts: Payouts,
  ) {
    this.node = node;
    this.params = params;
    this.funding = funding;
    this.signers = signers;
    this.payouts = payouts;
    this.#monotone = new MonotoneSigner({ params }, { signer: signers.maker });
    this.#source = node.source();
  }

  static async open(
    node: TestNode,
    bank: Bank,
    groups: (auditorKeyHex: string) => Pick<TermsV1or2, 'bonds' | 'seal'>,
    /** Each is paid to the wallet of its own signer. */
    paysOwnWallets = false,
    /** What else is agreed, in version 3 of the terms. */
    more?: Partial<TermsV3>,
  ): Promise<StakedChannel> {
    const signers = { miner: anySigner(), maker: anySigner(), auditor: anySigner() };
    const older: TermsV1or2 = {
      ...baseTerms(signers, (await node.height()) + 400),
      ...groups(toHex(signers.auditor.publicKey('auditor'))),
    };
    const terms = more === undefined ? older : { ...newer(older), ...more };
    const keys = { ...minerKeysOf(signers.miner, terms), ...makerKeysOf(signers.maker, terms) };
    const wallets = { maker: walletOf(signers.maker), miner: walletOf(signers.miner) };
    const [makerCoin, minerCoin] = await bank.fund([
      { scriptHex: toHex(wallets.maker), valueSat: MAKER_COIN_SAT },
      { scriptHex: toHex(wallets.miner), valueSat: MINER_COIN_SAT },
    ]);
    const side = (role: 'maker' | 'miner', coin: typeof makerCoin) => ({
      inputs: [{ ...coin!, publicKeyHex: toHex(signers[role].publicKey('wallet')) }],
      changeScript: wallets[role],
    });
    const funding = buildFunding({
      terms,
      keys,
      maker: side('maker', makerCoin),
      miner: side('miner', minerCoin),
      feeRateSatPerKvb: RATE,
    });
    const { hex, txid } = finalizeFunding(funding, {
      maker: signFundingInputs(funding, 'maker', signers.maker),
      miner: signFundingInputs(funding, 'miner', signers.miner),
    });
    const { vout, sealVout } = funding;
    const payouts = paysOwnWallets ? signers : { miner: anySigner(), maker: anySigner() };
    const nextScript = walletOf(paysOwnWallets ? signers.maker : anySigner());
    const params: ChannelParams = {
      terms,
      contractId: contractIdOf(terms),
      keys,
      minerPayoutScript: walletOf(payouts.miner),
      makerPayoutScript: walletOf(payouts.maker),
      funding: { txid, vout },
      ...(sealVout === undefined ? {} : { seal: { vout: sealVout, nextScript } }),
    };
    const channel = new StakedChannel(node, params, funding, signers, payouts);
    await channel.send(hex);
    await node.generate(3);
    return channel;
  }

  close(): void {
    this.#source.close();
  }

  send(hex: string): Promise<string> {
    return this.#source.broadcast(hex);
  }

  sendPackage(hexes: readonly string[]): Promise<void> {
    return this.#source.broadcastPackage(hexes);
  }

  get minerPayoutAddress(): string {
    return address.fromOutputScript(this.params.minerPayoutScript, NETWORKS.regtest.params);
  }

  /** `taken`, or the code with which the node refuses. */
  async verdict(hex: string): Promise<string> {
    return this.send(hex).then(() => 'taken', codeOf);
  }

  /** State n over so much work; all before it are signed too. */
  state(n: number, workHashes: bigint): SignedState {
    for (
      let next = this.#monotone.last === undefined ? 0 : this.#monotone.last.n + 1;
      next < n;
      next += 1
    ) {
      this.#monotone.sign(next, (workHashes * BigInt(next)) / BigInt(n));
    }
    return this.#monotone.sign(n, workHashes);
  }

  /** The miner broadcasts a state at the second rung, and it confirms. Returns the bonds and the fee. */
  async closeAlone(state: SignedState): Promise<{ bonds: readonly BondCoin[]; feeSat: bigint }> {
    const { hex, feeSat } = signAndFinalizeState(this.params, state, 1, this.signers.miner);
    await this.send(hex);
    await this.node.generate(1);
    return { bonds: bondCoins(this.params, state.workHashes, 1), feeSat };
  }

  /** A bond with the signatures of two of the three. */
  award(coin: BondCoin, payee: 'miner' | 'maker', by: readonly BondSignatory[]): string {
    const spend: BondSpend = { coin, payee, feeRateSatPerKvb: RATE };
    const signatures = by.map(
      (name) => [name, signBondSpend(this.params, spend, name, this.signers[name])] as const,
    );
    return finalizeBondSpend(this.params, spend, Object.fromEntries(signatures)).hex;
  }

  /** The miner's signature of a claim over so much work, as the maker keeps it. */
  claim(n: number, workHashes: bigint): SignedSealClaim {
    const shareRoot = sha256(new TextEncoder().encode(`shares up to ${workHashes}`));
    return signSealClaim(this.params, { n, workHashes, shareRoot }, this.signers.miner);
  }

  claimTransaction(claim: SignedSealClaim): Transaction {
    return Transaction.fromHex(signAndFinalizeSealClaim(this.params, claim, this.signers.maker).hex);
  }

  /** What each side's payout script, and the maker's next seal, hold in blocks. */
  async balances(): Promise<{ minerSat: bigint; makerSat: bigint }> {
    return {
      minerSat: await this.balanceSat(this.params.minerPayoutScript),
      makerSat: await this.balanceSat(this.params.makerPayoutScript),
    };
  }

  async balanceSat(script: Uint8Array): Promise<bigint> {
    const coins = await this.#source.utxos(toHex(script));
    return coins.reduce((sum, { valueSat }) => sum + valueSat, 0n);
  }

  /** Whether an output of a block is there and no block spends it. */
  async isUnspent(txid: string, vout: number): Promise<boolean> {
    return (await this.outputSat(txid, vout)) !== undefined;
  }

  /** What an output of a block holds that no block spends. */
  async outputSat(txid: string, vout: number): Promise<bigint | undefined> {
    return (await this.#source.txOut(txid, vout, false))?.valueSat;
  }

  get capacitySat(): bigint {
    return channelFacts(this.params).capacitySat;
  }
}

function anySigner(): SeedSigner {
  return new SeedSigner({ seed: new Uint8Array(crypto.randomBytes(32)), network: 'regtest' });
}

function walletOf(signer: SeedSigner): Uint8Array {
  return p2wpkhScript(signer.publicKey('wallet'));
}

/** The same in version 3, of which no job is looked at here. */
function newer(terms: TermsV1or2): TermsV3 {
  const outputs = [{ scriptHex: toHex(walletOf(anySigner())), ppm: 1_000_000 }];
  const binding = { type: 'payout', outputs, minFeesPpm: 0, samplePpm: 0, sampleSeconds: 10 } as const;
  return termsV3From(terms, terms.expiryHeight - 350, binding);
}

/** 1000 EH at 485.06 sat. */
function baseTerms(signers: Readonly<Record<Name, SeedSigner>>, expiryHeight: number): TermsV1or2 {
  return {
    network: 'regtest',
    minerNodeId: toHex(nodeIdBytes(signers.miner)),
    makerNodeId: toHex(nodeIdBytes(signers.maker)),
    priceMsatPerEh: 485_060n,
    workTotalHashes: WORK_TOTAL,
    stepHashes: EH,
    maxUnpaidSteps: 3,
    budgetSat: 485_060n,
    reserveSat: 1_000n,
    minerReserveSat: 6_000n,
    expiryHeight,
    minDepth: 3,
    feeLadderSatPerKvb: DEFAULT_FEE_LADDER_SAT_PER_KVB,
    maxTargetHex: `00000000${'f'.repeat(56)}`,
    binding: { type: 'none' },
    staleGraceSeconds: 30,
    nonceHex: crypto.randomBytes(16).toString('hex'),
  };
}
