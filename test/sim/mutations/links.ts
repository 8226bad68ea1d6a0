import { type Mutations, without } from './mutation.ts';

const jobs = without('miner/work-jobs.ts');

/** Of links that break, lines that come late, and closes that were not agreed. */
export const OF_LINKS: Mutations = {
  'served-before-reestablish': without('maker/maker-channel.ts')(
    'a miner is served before it has told where it stands',
    'miner-says-anything',
    "if (this.#peer !== peer) throw new CodedError('protocol', 'reestablish the channel first');",
    '',
    41,
  ),
  'away-forgotten': jobs(
    'a miner whose link is lost twice takes the jobs that are given again for other ones of their ids',
    'drops-twice',
    'const before = [...this.#away, ...this.#live, ...this.#held];',
    'const before = [...this.#live, ...this.#held];',
  ),
  'withdrawn-revived': jobs(
    'a job that was withdrawn while the link was lost may be given again',
    'revives-withdrawn',
    'for (const id of ids) this.#away.delete(id);',
  ),
  'stale-put-off': jobs(
    'each block puts off the end of the jobs on those before it',
    'slow-pool',
    'this.#staleTimers.add(timer);',
    'for (const each of this.#staleTimers) each.cancel(); this.#staleTimers.add(timer);',
  ),
  'work-repeated': jobs(
    'the work of a job that is over is mined from its start where it is given again',
    'pool-comes-back',
    'return Math.min(this.#deps.clock.monotonicMs(), ...sinceMs);',
    'return Math.max(this.#deps.clock.monotonicMs(), ...sinceMs);',
  ),
  'close-told-lost': without('miner/miner-link.ts')(
    'a close that blocks confirm before its answer is told as lost',
    'close-answered-late',
    "const isClosed = this.#store.channel?.status === 'closed';",
    'const isClosed = false;',
  ),
  'settlements-unchecked': without('maker/early-close.ts')(
    'a close may give the bonds to whomever the miner says',
    'asks-for-both-bonds',
    "wanted === 'refused' || (settlement !== undefined && settlement !== wanted)",
    "wanted === 'refused'",
  ),
  'bad-signatures-prolong': without('maker/openings.ts')(
    'each signature of a funding, good or bad, gives its opening more time',
    'signs-badly',
    "if (codeOf(error) === 'funding_unsigned')",
    "if (codeOf(error) !== '')",
  ),
};
