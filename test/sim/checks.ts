/**
 * What is checked of bound work, by file: each check with the mutation that undoes it, or the unit test that
 * fails without it, where no life of a contract could show it.
 */
export type Check = {
  /** As it stands in the file. */
  readonly text: string;
  readonly by: string | { readonly test: string; readonly it: string; readonly why: string };
};

const unit = (test: string, it: string, why: string): Exclude<Check['by'], string> => ({
  test: `${test}.test.ts`,
  it,
  why,
});

const BOUNDS = 'a bound of what a peer may cost, which no money shows';
const GUARD = 'what follows refuses it too, less exactly';
const SECOND = 'a window of seconds before what is forgotten is refused anyway';

const PAYOUT_RULES: readonly Check[] = [
  { text: "return 'height';", by: 'height-unchecked' },
  { text: "return 'bits';", by: 'bits-unchecked' },
  { text: "return 'time';", by: 'time-unchecked' },
  { text: "return 'too_little';", by: 'too-little-unchecked' },
  { text: "? 'too_much' : undefined", by: 'too-much-unchecked' },
  { text: '+ partSat(facts.feesSat ?? 0n, minFeesPpm)', by: 'fees-unchecked' },
  { text: '>= partSat(totalSat, ppm)', by: 'part-unchecked' },
  {
    text: 'if (totalSat === 0n) return false;',
    by: unit('settlement/share-rules', 'is bound to nothing where it pays nothing at all', GUARD),
  },
];

const JOB_COINBASE: readonly Check[] = [
  { text: 'if (!isInside ||', by: 'outputs-may-move' },
  { text: '(versionMask & ~BIP323_VERSION_MASK) !== 0', by: 'all-bits-roll' },
  {
    text: 'scriptSize <= MAX_SCRIPT_SIZE &&',
    by: unit('settlement/share-rules', 'has up to a hundred bytes, and the extranonce within', GUARD),
  },
  { text: 'equal(scriptHead.subarray(0, push.length), push)', by: 'height-unchecked' },
];

const SHARE_RULES: readonly Check[] = [
  { text: 'return pays(coinbaseRule(terms), coinbase)', by: 'payees-unchecked' },
  {
    text: 'if (!versionInMask(shares.version(index), job.version, job.versionMask))',
    by: 'version-unchecked',
  },
  {
    text: 'if (rules.fixedTarget && target !== rules.maxTarget)',
    by: unit(
      'settlement/share-rules',
      'is within the range of the rules, both ends included',
      'own jobs have no range',
    ),
  },
  {
    text: 'if (target > rules.maxTarget || target < rules.minTarget)',
    by: unit('settlement/share-rules', 'is within the range of the rules, both ends included', GUARD),
  },
  {
    text: 'shares.extranonceSize(index) !== job.extranonceSize',
    by: unit(
      'maker/verification',
      'is refused one beyond them',
      'the packed format of the link has one size',
    ),
  },
];

const PAYOUT_BINDING: readonly Check[] = [
  { text: 'return drawn < samplePpm / 1_000_000;', by: 'no-samples' },
  { text: 'return this.#record.owed > 0;', by: 'never-strict' },
  { text: "return 'share_unshown';", by: 'unshown-paid' },
  { text: 'owed: Math.max(owed,', by: 'unshown-forgotten' },
  { text: "this.#end(job, judged, 'bad');", by: 'invalid-blocks-paid' },
  { text: 'owed: Number.POSITIVE_INFINITY };', by: 'invalid-blocks-forgotten' },
  { text: 'this.#record = await loadSamples(', by: 'samples-forgotten' },
  { text: 'this.#record.drawn.includes(id)', by: 'samples-asked-forgotten' },
  { text: 'this.#blocks.judge(cases);', by: 'own-blocks-unseen' },
  { text: 'this.#settle(job, judged, NO_BLOCKS);', by: 'samples-without-template' },
  { text: 'this.#replaced(job, judged);', by: 'replaced-paid' },
  {
    text: 'this.#isNextDrawn = true;',
    by: unit('maker/payout-binding', 'since its block was replaced meanwhile is not drawn', 'of chance'),
  },
  { text: 'return checkPayout(', by: 'block-unchecked' },
];

const FOUND_BLOCKS: readonly Check[] = [
  { text: 'this.#solutions.restore(', by: 'own-blocks-late-forgotten' },
  {
    text: 'if (areOfJob(job, transactions)) return submit(transactions);',
    by: 'own-blocks-built-of-nothing',
  },
];

const TEMPLATE_SAMPLE: readonly Check[] = [
  { text: 'await blocks.proposalFault(', by: 'proposals-unasked' },
  { text: '/^(inconclusive|duplicate)/', by: 'refusals-inconclusive' },
  { text: "why: 'the own node did not judge it'", by: 'inconclusive-unpaid' },
  { text: 'timers.after(this.#leftMs,', by: 'answers-at-any-time' },
  { text: 'const result = await use(await asking.complete(', by: 'unknown-unasked' },
];

const WORK_MATCH: readonly Check[] = [
  { text: 'equal(job.coinb1, concat(own.coinb1, own.extranonce1,', by: 'account-unchecked' },
  { text: 'equal(job.coinb2, own.coinb2)', by: 'payee-of-given-unchecked' },
  { text: 'equal(branch, own.branches[index]!)', by: 'branches-unchecked' },
  { text: 'job.branches.length === own.branches.length', by: 'count-of-branches-unchecked' },
  { text: 'equal(job.prevHash, own.prevHash)', by: 'block-of-given-unchecked' },
  { text: 'if (job.bits !== own.bits)', by: 'bits-of-given-unchecked' },
  { text: 'return job.time < own.time ?', by: 'time-of-given-unchecked' },
  { text: 'bitsWithin(job.version ^ own.version,', by: 'version-of-given-unchecked' },
  { text: 'bitsWithin(job.versionMask,', by: 'mask-of-given-unchecked' },
  {
    text: 'padSize >= 0',
    by: unit('maker/work-match', 'and not with %s', 'no wire carries a longer extranonce than its job has'),
  },
];

const WORK_BINDING: readonly Check[] = [
  { text: 'if (sourceId !== undefined && !jobs.has(sourceId))', by: 'unknown-jobs-paid' },
  { text: 'const difference = differenceOf(own.job, job);', by: 'foreign-jobs-paid' },
  { text: 'if (poolTarget > easiest) return undefined;', by: 'pool-of-any-target' },
  { text: 'endLine(ids)]);', by: 'ended-jobs-revived' },
  { text: 'this.#solutions.restore(', by: 'late-solutions-forgotten' },
  { text: 'this.#beginTicks();', by: 'jobs-of-new-contracts-stay' },
  {
    text: "return 'extranonce_too_small';",
    by: unit(
      'maker/work-binding',
      'that leaves too little extranonce2 gives no work',
      'the miner refuses such jobs',
    ),
  },
  {
    text: "throw new CodedError('too_often', 'processes of one miner'",
    by: unit(
      'maker/work-binding',
      'is held for a few processes of a miner, and not for each that it makes up',
      BOUNDS,
    ),
  },
  {
    text: 'What is not on disk is not given',
    by: unit(
      'maker/work-binding',
      'is on disk before it leaves, and does not leave where the disk refuses it',
      'the files of jobs are not on the disk of the simulation',
    ),
  },
];

const WORK_JOBS: readonly Check[] = [
  { text: "return given.status !== 'gone' || nowMs <= given.untilMs;", by: 'withdrawn-jobs-paid' },
  { text: 'const untilMs = nowMs + graceMs;', by: 'no-grace-for-given' },
  {
    text: '{ ...each, ...OVERDUE, replacedBy: undefined }',
    by: unit(
      'maker/missed-work',
      'is bounded where the miner refuses each job that would end another',
      'the miner of the simulation refuses no good job',
    ),
  },
  {
    text: 'state: isNewest || isOld ? state : blockMissed(state, instance)',
    by: unit(
      'maker/missed-work',
      'is bounded where the miner is not subscribed while its block is replaced',
      'the miner of the simulation subscribes at once',
    ),
  },
  {
    text: "return notGiven('equal');",
    by: unit(
      'maker/work-jobs',
      'are not equal to one in force',
      'the pool of the simulation gives no job twice',
    ),
  },
  {
    text: "return notGiven('stale');",
    by: unit('maker/work-jobs', 'are clean with another block alone, and never with one that was', SECOND),
  },
  {
    text: 'options.withdrawalsPerBlock - withdrawals',
    by: unit(
      'maker/work-jobs',
      'are withdrawn so often on one block, and what may not be stays in force',
      BOUNDS,
    ),
  },
];

const SOLUTIONS: readonly Check[] = [
  { text: 'if (!this.#deps.canSubmit(given)) return;', by: 'solutions-before-the-start-late' },
  { text: "if (this.isPaused) cases.codes[index] = 'late_solutions';", by: 'late-solutions-paid' },
  { text: 'this.#send(given, key, { extranonce2,', by: 'late-solutions-kept' },
  { text: 'book.sent(pool, sent, isLate);', by: 'credit-by-pool' },
  {
    text: 'solutions a minute`);',
    by: unit('maker/work-binding', 'is not taken more often than twice what was agreed', BOUNDS),
  },
  {
    text: "throw new CodedError('share_low', 'it is no solution of its job');",
    by: unit('maker/work-binding', 'that is none is refused', 'credits nothing: it spares the pool alone'),
  },
];

const BEADS: readonly Check[] = [
  {
    text: "return worthParts > most(countedBeads(options, state, nowMs)) ? 'share_beads' : undefined;",
    by: unit(
      'maker/bead-credit',
      'stops a thief of %d of the beads after about %d stolen ones',
      'see also beads-unasked',
    ),
  },
  {
    text: "if (state.stolen !== undefined) return 'share_unbound';",
    by: unit('maker/bead-credit', 'ends for good with a bead of a reported share that pays another', GUARD),
  },
  {
    text: 'paidBeads + Math.min(inDoubt, doubtBeads)',
    by: unit(
      'maker/bead-credit',
      'takes beads that nobody was told of yet for ours, so many and so long',
      GUARD,
    ),
  },
];

const BEAD_BINDING: readonly Check[] = [
  { text: 'async judgeShares(cases', by: 'beads-unasked' },
  {
    text: "return canFollow(bits, standing, network) ? undefined : 'share_bad';",
    by: unit(
      'maker/bead-binding',
      'counts only jobs with the bits of the own chain: harder ones would make beads rare',
      'under profile weak, as here, bits make no difference',
    ),
  },
];

const TAKEN: readonly Check[] = [
  { text: 'if (!isInRange)', by: 'hard-targets-taken' },
  {
    text: 'if (extranonce2Size < least)',
    by: unit(
      'miner/work-destination',
      'that break the terms by their %s are not mined',
      'nothing could be mined',
    ),
  },
  { text: 'const code = checkJob(terms, recordOf(job));', by: 'movable-outputs-taken' },
  { text: 'if (!ntimeInWindow(job.time, job.time, nowMs, SELLER_FUTURE_SECONDS))', by: 'future-taken' },
  {
    text: 'if (decimalDifficultyOf(shareTarget) === undefined)',
    by: unit(
      'miner/work-destination',
      'that break the terms by their %s are not mined',
      'no session could be told',
    ),
  },
];

const destination = (it: string): Check['by'] =>
  unit('miner/work-destination', it, 'of the order of jobs, which costs the maker hashrate alone');

const TAKEN_JOBS: readonly Check[] = [
  { text: "if (standing.status === 'unknown') {", by: 'foreign-chain-mined' },
  {
    text: "reason: 'id', detail",
    by: destination('may not give another job by an id of before, nor one it withdrew'),
  },
  { text: "detail: 'jobs come too fast'", by: destination('come no faster than is agreed') },
  {
    text: 'if (!isAll && this.#withdrawals + withdrawn > most)',
    by: destination('are no more between two blocks than is agreed: the rest is mined on'),
  },
  { text: "reason: 'repeated',", by: destination('that break the terms by their %s are not mined') },
  { text: "reason: 'clean', detail", by: destination('that break the terms by their %s are not mined') },
  {
    text: 'was replaced long ago` }, held.job);',
    by: destination('was replaced long ago: the job is not mined'),
  },
  { text: 'const before = [...this.#away, ...this.#live, ...this.#held];', by: 'away-forgotten' },
  { text: 'for (const id of ids) this.#away.delete(id);', by: 'withdrawn-revived' },
  { text: 'this.#staleTimers.add(timer);', by: 'stale-put-off' },
  { text: 'return Math.min(this.#deps.clock.monotonicMs(), ...sinceMs);', by: 'work-repeated' },
];

const OWN_JOBS: readonly Check[] = [
  {
    text: 'if (needsContractTag(terms) && !hasContractTag(parts, contractId))',
    by: unit(
      'miner/payout-jobs',
      'names the contract where that has a seal',
      'the farm stands for the proxy here',
    ),
  },
  {
    text: 'if (checkJob(terms, parts) !== undefined) return PAYOUT_FAULTS.payees;',
    by: unit('miner/payout-jobs', 'is not where it would not: %s', 'the farm stands for the proxy here'),
  },
];

const VERIFIER: readonly Check[] = [
  { text: 'if (assigned !== undefined && target !== assigned)', by: 'hashes-weighed' },
  { text: 'const waitMs = ownsJobs ? 0 : this.#options.unknownBlockWaitMs;', by: 'blocks-not-waited-for' },
  {
    text: "if (standing.status === 'unknown') return ownsJobs ? inTime : { ...inTime, code: 'stale_race' };",
    by: 'given-blocks-asked-about',
  },
  { text: 'else codes[index] = lateCode;', by: 'backlogs-without-end' },
  { text: 'if (needsContractTag(terms) && !hasContractTag(job, contractId))', by: 'tag-unchecked' },
];

const VERIFICATION: readonly Check[] = [
  {
    text: 'if (cases.isNew(index))',
    by: unit(
      'maker/batch-verifier',
      'is judged again as it was, also what is refused for another reason than its hash',
      'no life sells more than its total over a write that is refused',
    ),
  },
];

/** By file below `src`. */
export const CHECKS: Readonly<Record<string, readonly Check[]>> = {
  'settlement/payout-rules.ts': PAYOUT_RULES,
  'settlement/job-coinbase.ts': JOB_COINBASE,
  'settlement/share-rules.ts': SHARE_RULES,
  'maker/payout-binding.ts': PAYOUT_BINDING,
  'maker/found-blocks.ts': FOUND_BLOCKS,
  'maker/template-sample.ts': TEMPLATE_SAMPLE,
  'maker/work-match.ts': WORK_MATCH,
  'maker/work-binding.ts': WORK_BINDING,
  'maker/work-jobs.ts': WORK_JOBS,
  'maker/solutions.ts': SOLUTIONS,
  'maker/bead-credit.ts': BEADS,
  'maker/bead-binding.ts': BEAD_BINDING,
  'maker/batch-verifier.ts': VERIFIER,
  'maker/verification.ts': VERIFICATION,
  'miner/work-rules.ts': TAKEN,
  'miner/work-jobs.ts': TAKEN_JOBS,
  'miner/payout-jobs.ts': OWN_JOBS,
};
