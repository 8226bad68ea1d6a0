import { type Mutations, without } from './mutation.ts';

const policy = without('maker/policy.ts');
const turns = without('maker/sample-turns.ts');

/** Each limit of what a maker buys in all, and of what it looks at, undone. */
export const OF_LIMITS: Mutations = {
  'rate-in-all-unchecked': policy(
    'any hashrate is bought',
    'proposes-beyond-the-rate',
    'return [only(path, ownHps <= leftHps, ',
    'return [only(path, ownHps >= 0n * leftHps, ',
  ),
  'rate-of-now-alone': without('maker/rate-book.ts')(
    'the hashrate that begins later counts for nothing',
    'proposes-beyond-the-rate',
    'const heights = new Set([fromHeight, ...begins.filter((at) => at > fromHeight && at < endHeight)]);',
    'const heights = new Set([fromHeight, ...begins.filter((at) => at > endHeight && at < fromHeight)]);',
  ),
  'pools-owe-anything': policy(
    'work is bought for pools however much they owe',
    'proposes-beyond-the-pools',
    "only('work_total_hashes', terms.workTotalHashes <= left, ",
    "only('work_total_hashes', terms.workTotalHashes >= 0n * left, ",
  ),
  'pool-debts-forgotten': without('maker/maker.ts')(
    'a maker that starts anew forgets what its pools owe',
    'proposes-beyond-the-pools',
    'await this.poolAccounts.load();',
  ),
  'pool-debts-unwritten': without('maker/pool-accounts.ts')(
    'of the debts of a pool only the newest credit is written',
    'proposes-beyond-the-pools',
    'return entryOf(CREDITED_KIND, name, account.creditedHashes);',
    'return entryOf(CREDITED_KIND, name, hashes);',
  ),
  'looks-without-turns': turns(
    'any number of blocks is looked at side by side',
    'renews-each-job',
    'if (this.#running < LOOKS_AT_ONCE) ',
    'if (this.#running < 1_000 * LOOKS_AT_ONCE) ',
  ),
  'looks-without-rate': turns(
    'blocks are looked at as fast as they come',
    'renews-each-job',
    'while (!this.#room.take(clock.monotonicMs())) {',
    'while (!this.#room.take(clock.monotonicMs()) && clock.monotonicMs() < 0) {',
  ),
  'unwaited-paid': without('maker/payout-binding.ts')(
    'a job that cannot even wait for its look is credited before it',
    'holds-its-answers',
    "return this.isStrict || this.#turns.isFull ? 'stale_race' : undefined;",
    "return this.isStrict ? 'stale_race' : undefined;",
  ),
};
