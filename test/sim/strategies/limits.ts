import { toHex } from '../../../src/base/bytes.ts';
import { CodedError } from '../../../src/base/errors.ts';
import { sha256 } from '../../../src/base/hash.ts';
import { owedSat } from '../../../src/base/units.ts';
import { nodeIdBytes } from '../../../src/channel/signer.ts';
import type { TermsV3 } from '../../../src/contract/terms.ts';
import { fixedPriceMsatPerEh } from '../../../src/contract/terms-access.ts';
import type { Maker } from '../../../src/maker/maker.ts';
import type { MakerPolicy } from '../../../src/maker/policy.ts';
import { call } from '../../../src/peer/calls.ts';
import type { RpcPeer } from '../../../src/peer/rpc-peer.ts';
import { signTerms } from '../../../src/settlement/opening.ts';
import { SHARE } from '../farm.ts';
import { hashesOf } from '../outcome.ts';
import type { Stage } from '../stage.ts';
import type { Strategy } from '../strategy.ts';
import { BY_WORK, SALE_BLOCKS, SIGNERS } from '../terms.ts';
import { connect } from './stranger.ts';

/** What a maker buys in all: hashrate at any time, and work of jobs that its pools do not pay for. */

const BLOCK_SECONDS = 600;
const MOST_HPS = 30n;
const PRICE = 1_000n * 10n ** 18n;
/** Time in ms after which a proposal holds nothing any more. */
const FORGOTTEN_MS = 11 * 60_000;

const wide = (usual: MakerPolicy): MakerPolicy => ({
  ...usual,
  ...{ maxBudgetSat: 10n * usual.maxBudgetSat, maxTotalBudgetSat: 100n * usual.maxBudgetSat },
  ...{ maxOpenContractsPerMiner: 40, maxStepHashes: 10_000n },
});

/** What a stranger was signed, and by which process. */
class Proposer {
  readonly #stage: Stage;
  #peer: RpcPeer | undefined;
  #maker: Maker | undefined;
  #count = 0;
  /** That the maker of now holds. */
  held: TermsV3[] = [];

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  /** Goes on with one that has started anew: it holds no proposals of before. */
  async #meet(): Promise<RpcPeer | undefined> {
    const { world } = this.#stage;
    if (world.maker !== this.#maker || this.#peer === undefined) {
      this.#maker = world.maker;
      this.held = [];
      this.#peer = await this.#answered(connect(this.#stage));
    }
    return this.#peer;
  }

  /** True where the maker signs the terms of the life, changed so; undefined where none answers. */
  async propose(change: Partial<TermsV3>): Promise<boolean | undefined> {
    const peer = await this.#meet();
    const signer = SIGNERS.stranger;
    this.#count += 1;
    const nonceHex = toHex(sha256(Uint8Array.of(this.#count)).subarray(0, 16));
    const minerNodeId = toHex(nodeIdBytes(signer));
    const terms = { ...(this.#stage.world.terms as TermsV3), ...change, minerNodeId, nonceHex };
    const signature = signTerms(terms, signer);
    let isRefused = false;
    const asked = peer && call(peer, 'contract.propose', { terms, signature });
    const answer = await this.#answered(asked, (code) => {
      isRefused = code === 'bad_terms';
    });
    if (isRefused) return false;
    if (answer === undefined || this.#stage.world.maker !== this.#maker) {
      this.#peer = undefined;
      return undefined;
    }
    this.held.push(terms);
    return true;
  }

  async #answered<T>(
    task: Promise<T> | undefined,
    onCode: (code: string) => void = () => {},
  ): Promise<T | undefined> {
    let answer: T | undefined;
    task?.then(
      (value) => {
        answer = value;
      },
      (error: unknown) => {
        if (!(error instanceof CodedError)) this.#stage.world.fail(error);
        else onCode(error.code);
      },
    );
    await this.#stage.rounds(3);
    return answer;
  }
}

/** The most hashrate of these terms at any height, one by one; those without a rate need so much. */
function peakHps(all: readonly TermsV3[], height: number): bigint {
  let peak = 0n;
  for (let at = height; at < height + 100; at += 1) {
    const sum = all.reduce((total, terms) => total + hpsAt(terms, height, at), 0n);
    if (sum > peak) peak = sum;
  }
  return peak;
}

function hpsAt(terms: TermsV3, height: number, at: number): bigint {
  const from = Math.max(terms.start?.notBeforeHeight ?? height, height);
  const last = Math.min(terms.expiryHeight - SALE_BLOCKS, from + (terms.durationBlocks ?? 1_000));
  const hps = terms.rate?.committed;
  if (hps === undefined || at < from || at >= last) return 0n;
  const blocks = Math.ceil(Number(terms.workTotalHashes) / (Number(hps) * BLOCK_SECONDS));
  return at < from + blocks ? hps : 0n;
}

/** A contract of so many hashes a second, which begins so many blocks from now. */
function ratedTerms({ world, height, random }: Stage): Partial<TermsV3> {
  const hps = 5n + BigInt(random.below(16));
  const workTotalHashes = hps * BigInt(BLOCK_SECONDS * (2 + random.below(5)));
  const wait = 4 * random.below(4);
  const begins = { notBeforeHeight: height + wait, notAfterHeight: height + wait + 4 };
  return {
    ...{ price: { type: 'fixed', msatPerEh: PRICE }, workTotalHashes, stepHashes: 1_200n },
    ...{ budgetSat: owedSat(workTotalHashes, PRICE), rate: { committed: hps, min: 1n, max: hps } },
    ...(wait === 0 ? {} : { start: begins }),
    ...{ expiryHeight: world.terms.expiryHeight, nonceHex: '' },
  };
}

const TOTAL_HASHES = 40n * SHARE.workHashes;
const MOST_UNPAID_HASHES = (3n * TOTAL_HASHES) / 2n;

const soMuch = (terms: TermsV3, workTotalHashes: bigint): Partial<TermsV3> => ({
  workTotalHashes,
  budgetSat: owedSat(workTotalHashes, fixedPriceMsatPerEh(terms)),
});

export const OF_LIMITS: Readonly<Record<string, Strategy>> = {
  'proposes-beyond-the-rate': {
    what: 'a stranger proposes contracts that begin now and later, of more hashrate together than is bought',
    row: 'limits: rate',
    hostile: [],
    options: () => ({ policy: (usual) => ({ ...wide(usual), maxRateHps: MOST_HPS }) }),
    play: async (stage) => {
      const proposer = new Proposer(stage);
      let taken = 0;
      for (let time = 0; time < 10; time += 1) {
        if ((await proposer.propose(ratedTerms(stage))) === true) taken += 1;
        const peak = peakHps(proposer.held, stage.height);
        if (peak > MOST_HPS) stage.find('more hashrate is bought than there is a use for', `${peak} H/s`);
      }
      if (taken === 0) stage.find('no hashrate is bought', 'of ten');
      await stage.world.time.advance(FORGOTTEN_MS);
      if (await stage.open()) await stage.pay(1);
      await stage.liveOut();
    },
  },
  'proposes-beyond-the-pools': {
    what: 'a stranger proposes work for pools that owe for more than they are trusted with, whoever is killed',
    row: 'limits: max_pool_unpaid',
    hostile: [],
    options: () => ({
      termsV3: { binding: BY_WORK },
      policy: (usual) => ({ ...wide(usual), maxPoolUnpaidHashes: MOST_UNPAID_HASHES }),
    }),
    play: async (stage) => {
      const { world, random } = stage;
      const proposer = new Proposer(stage);
      let paidHashes = 0n;
      const beyond = async (parts: bigint): Promise<boolean | undefined> => {
        const isTaken = await proposer.propose(soMuch(world.terms as TermsV3, (parts * TOTAL_HASHES) / 4n));
        const credited = BigInt((await hashesOf(world, 'maker')).length) * SHARE.workHashes;
        const held = proposer.held.reduce((sum, { workTotalHashes }) => sum + workTotalHashes, 0n);
        const owed = credited - paidHashes + held;
        if (isTaken === true && owed > MOST_UNPAID_HASHES)
          stage.find('pools may owe more than they are trusted with', `${owed} hashes`);
        return isTaken;
      };
      await stage.open();
      // What the contract of the life may still bring is held too.
      for (const parts of [4n, 2n, 1n]) await beyond(parts);
      await stage.pay(10);
      if (random.below(2) === 0) await world.kill('maker', 0);
      await world.time.advance(FORGOTTEN_MS);
      await stage.rounds(2);
      proposer.held = [];
      await beyond(3n);
      const owes = world.maker?.poolAccounts.accountOf('pool').unpaidHashes ?? 0n;
      const half = owes / 2n;
      paidHashes = await paidFor(stage, half);
      const credited = BigInt((await hashesOf(world, 'maker')).length) * SHARE.workHashes;
      const isRoom = proposer.held.length === 0 && credited === TOTAL_HASHES && paidHashes === half;
      if (isRoom && (await beyond(3n)) === false)
        stage.find('what a pool paid for is held against it', `${half}`);
      await stage.liveOut();
    },
  },
};

/** Its operator says so; where no answer comes it looks what is noted. @returns that */
async function paidFor(stage: Stage, hashes: bigint): Promise<bigint> {
  const { world } = stage;
  let noted: bigint | undefined;
  world.maker?.poolAccounts.paid('pool', hashes).then(
    ({ paidHashes }) => {
      noted = paidHashes;
    },
    (error: unknown) => {
      if (!(error instanceof CodedError)) world.fail(error);
    },
  );
  await stage.rounds(3);
  return noted ?? world.maker?.poolAccounts.accountOf('pool').paidHashes ?? 0n;
}
