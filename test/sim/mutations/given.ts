import { type Mutations, without } from './mutation.ts';

const match = without('maker/work-match.ts');
const jobs = without('maker/work-jobs.ts');
const binding = without('maker/work-binding.ts');
const solutions = without('maker/solutions.ts');
const verifier = without('maker/batch-verifier.ts');
const taken = without('miner/work-rules.ts');

/** Each check of jobs that the maker gives, undone; and what makes two honest sides agree. */
export const OF_GIVEN: Mutations = {
  'account-unchecked': match(
    'a job may be of another account at the same pool',
    'claims-own-account',
    ' &&\n    equal(job.coinb1, concat(own.coinb1, own.extranonce1, new Uint8Array(padSize)))',
  ),
  'foreign-account-unchecked': match(
    'a job of somebody else may be claimed to be one of the maker',
    'claims-foreign-shares',
    ' &&\n    equal(job.coinb1, concat(own.coinb1, own.extranonce1, new Uint8Array(padSize)))',
  ),
  'dear-jobs-unchecked': match(
    'a job of one contract may be claimed under another',
    'claims-dear-jobs',
    ' &&\n    equal(job.coinb1, concat(own.coinb1, own.extranonce1, new Uint8Array(padSize)))',
  ),
  'payee-of-given-unchecked': match(
    'the end of the coinbase of a given job may be any',
    'claims-other-payee',
    'equal(job.coinb2, own.coinb2) &&',
  ),
  'branches-unchecked': match(
    'the branches of a given job may be any',
    'claims-other-branches',
    'equal(branch, own.branches[index]!)',
    'branch.length === own.branches[index]!.length',
  ),
  'count-of-branches-unchecked': match(
    'a given job may have more branches',
    'claims-more-branches',
    'job.branches.length === own.branches.length &&\n    job.branches.every((branch, index) => equal(branch, own.branches[index]!))',
    'own.branches.every((branch, index) => equal(branch, job.branches[index]!))',
  ),
  'block-of-given-unchecked': match(
    'a given job may be mined on another block',
    'claims-other-block',
    "if (!equal(job.prevHash, own.prevHash)) return 'another block before it';",
  ),
  'bits-of-given-unchecked': match(
    'a given job may have other nbits',
    'claims-other-bits',
    "if (job.bits !== own.bits) return 'other nbits';",
  ),
  'time-of-given-unchecked': match(
    'a given job may be of an earlier time',
    'claims-other-time',
    "return job.time < own.time ? 'an earlier time' : undefined;",
    'return undefined;',
  ),
  'version-of-given-unchecked': match(
    'a given job may have another version',
    'claims-other-version',
    ' && bitsWithin(job.version ^ own.version, own.versionMask)',
  ),
  'mask-of-given-unchecked': match(
    'a given job may let more version bits roll',
    'claims-other-mask',
    'bitsWithin(job.versionMask, own.versionMask) &&',
  ),
  'unknown-jobs-paid': binding(
    'a job of an id that was never given is taken for good',
    'claims-unknown-jobs',
    'const code = this.#unknown(sourceId);',
    'this.#sources.set(job, [...jobs.keys()].at(-1)!); const code = undefined as ShareCode | undefined;',
  ),
  'withdrawn-jobs-paid': {
    what: 'a withdrawn job is credited for ever',
    strategy: 'mines-withdrawn-jobs',
    seed: 1,
    edits: [
      {
        file: 'maker/work-jobs.ts',
        from: "return given.status !== 'gone' || nowMs <= given.untilMs;",
        to: 'return true;',
      },
      {
        file: 'maker/work-jobs.ts',
        from: "if (each.status === 'gone') return each.untilMs < (isLongAway ? nowMs : (awaySinceMs ?? nowMs));",
        to: "if (each.status === 'gone') return false;",
      },
    ],
  },
  'ended-jobs-revived': binding(
    'a maker that starts anew credits the jobs again that were over',
    'mines-withdrawn-jobs-again',
    'await this.#deps.files.append(this.#store.contractId, [endLine(ids)]);',
    'if (ids.length < 0) endLine(ids);',
  ),
  'jobs-of-new-contracts-stay': binding(
    'the jobs of a contract that the maker did not read from its disk are never over',
    'mines-withdrawn-jobs-again',
    'this.#beginTicks();\n    // A connection is of one process.',
    '// A connection is of one process.',
  ),
  'solutions-before-the-start-late': solutions(
    'solutions that were shown before the maker started anew are late when they come in a batch',
    'maker-starts-anew',
    'if (!this.#deps.canSubmit(given)) return;',
  ),
  'no-grace-for-given': jobs(
    'a job is not credited any more as soon as the miner knows that it was withdrawn',
    'pool-flaps',
    'const untilMs = nowMs + graceMs;',
    'const untilMs = nowMs - 1 + 0 * graceMs;',
  ),
  'backlogs-without-end': verifier(
    'each reconnect opens another backlog of work on jobs that are over',
    'drops-after-blocks',
    'else codes[index] = lateCode;',
  ),
  'backlogs-of-own-jobs-without-end': verifier(
    'each reconnect opens another backlog of work on blocks that were replaced',
    'drops-after-blocks-of-its-own',
    'else codes[index] = lateCode;',
  ),
  'backlogs-of-beads-without-end': verifier(
    'each reconnect opens another backlog of work on blocks that were replaced',
    'drops-after-blocks-of-beads',
    'else codes[index] = lateCode;',
  ),
  'credit-by-pool': solutions(
    'credit pauses when the pool refuses a solution',
    'pool-refuses',
    'book.sent(pool, sent, isLate);',
    [
      'book.sent(pool, sent, isLate);',
      "const pause = (): void => void Object.defineProperty(this, 'isPaused', { value: true });",
      "void sent.verdict.then(({ outcome }) => (outcome === 'refused' ? pause() : undefined));",
    ].join(' '),
  ),
  'late-solutions-paid': solutions(
    'solutions that come late pause no credit',
    'withholds-solutions',
    "if (this.isPaused) cases.codes[index] = 'late_solutions';",
  ),
  'late-solutions-forgotten': binding(
    'a maker that starts anew forgets how many solutions came late',
    'withholds-solutions-anew',
    'this.#solutions.restore(await loadSolutionCount(ledger, this.#store.contractId));',
    'await loadSolutionCount(ledger, this.#store.contractId);',
  ),
  'late-solutions-kept': solutions(
    'a solution that first comes in a batch is not sent to its pool',
    'withholds-solutions',
    'this.#send(given, key, { extranonce2, ntime, nonce, version }, isLate);',
    'if (key === extranonce2.toString()) this.#send(given, key, { extranonce2, ntime, nonce, version }, isLate);',
  ),
  'pool-of-any-target': binding(
    'a pool whose shares are easier than the terms let them be gives jobs all the same',
    'pool-out-of-range',
    'if (poolTarget > easiest) return undefined;',
    'if (poolTarget > easiest) return easiest;',
  ),
  'hashes-weighed': verifier(
    'a share of a given job may be said to have been assigned another target',
    'weighs-hashes',
    "if (assigned !== undefined && target !== assigned) return 'share_low';",
  ),
  'hard-targets-taken': taken(
    'the miner takes jobs whose shares are harder than agreed',
    'gives-hard-targets',
    'if (!isInRange)',
    'if (!isInRange && shareTarget === 0n)',
  ),
  'movable-outputs-taken': taken(
    'the miner takes jobs whose coinbase the maker would refuse',
    'gives-movable-outputs',
    'if (code !== undefined)',
    'if (code !== undefined && terms.version !== 3)',
  ),
  'future-taken': taken(
    'the miner takes jobs of a time that no node takes',
    'gives-the-future',
    'if (!ntimeInWindow(job.time, job.time, nowMs, SELLER_FUTURE_SECONDS))',
    'if (!ntimeInWindow(job.time, job.time, nowMs + 1e9, SELLER_FUTURE_SECONDS))',
  ),
  'no-room-for-clocks': without('shares/rules.ts')(
    'the proxy takes shares up to the very second at which the maker would refuse them',
    'clocks-apart',
    'export const SELLER_FUTURE_SECONDS = MAX_FUTURE_SECONDS - 120;',
    'export const SELLER_FUTURE_SECONDS = MAX_FUTURE_SECONDS;',
  ),
  'blocks-not-waited-for': verifier(
    'the maker waits for no block that the node of the miner heard of first',
    'clocks-apart',
    'const waitMs = ownsJobs ? 0 : this.#options.unknownBlockWaitMs;',
    'const waitMs = 0;',
  ),
  'given-blocks-asked-about': verifier(
    'the maker takes work on a block that its node does not know yet for a race, though the job is its own',
    'clocks-apart-given',
    "if (standing.status === 'unknown') return ownsJobs ? inTime : { ...inTime, code: 'stale_race' };",
    "if (standing.status === 'unknown') return { ...inTime, code: 'stale_race' };",
    2,
  ),
  'answers-are-theft': without('upstream/bead-watch.ts')(
    'a bead that cannot be asked for is taken for one that pays another',
    'braid-away',
    "this.#on({ type: 'failed', hash });",
    "this.#on({ type: 'bead', hash, payoutAddress: '' });",
  ),
};
