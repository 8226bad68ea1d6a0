import { type Mutations, without } from './mutation.ts';

const rules = without('settlement/payout-rules.ts');
const coinbase = without('settlement/job-coinbase.ts');
const share = without('settlement/share-rules.ts');
const binding = without('maker/payout-binding.ts');
const sample = without('maker/template-sample.ts');
const watch = without('chain/template-watch.ts');

/** Each check of the binding `payout`, undone. */
export const OF_PAYOUT: Mutations = {
  'height-unchecked': rules(
    'the height of a coinbase is not compared',
    'invents-height',
    "if (!isAtHeight(claim, facts.height)) return 'height';",
  ),
  'bits-unchecked': rules(
    'the nbits of a job are not compared',
    'invents-bits',
    "if (!areBitsRight(network, facts, job)) return 'bits';",
  ),
  'time-unchecked': rules(
    'the time of a job may be any',
    'invents-time',
    "if (facts.minTimeSeconds !== undefined && job.time < facts.minTimeSeconds) return 'time';",
  ),
  'too-much-unchecked': rules(
    'a coinbase may claim whatever it likes',
    'invents-amount',
    "return claim.totalSat > mostSat(network, facts) ? 'too_much' : undefined;",
    'return undefined;',
  ),
  'template-not-waited-for': binding(
    'a job of a new block is judged before its template is there',
    'invents-amount-at-once',
    "if (standing.status === 'current') await this.#deps.templates.see(hash);",
  ),
  'too-little-unchecked': rules(
    'a coinbase may claim nothing',
    'claims-nothing',
    "if (claim.totalSat < leastSat(network, minFeesPpm, facts)) return 'too_little';",
  ),
  'fees-unchecked': rules(
    'a coinbase need not claim fees',
    'leaves-fees-out',
    ' + partSat(facts.feesSat ?? 0n, minFeesPpm);',
    ' + 0n * partSat(facts.feesSat ?? 0n, minFeesPpm);',
  ),
  'part-unchecked': rules(
    'a payee need not have its part',
    'pays-itself',
    '>= partSat(totalSat, ppm)',
    '>= 0n * partSat(totalSat, ppm) + 1n',
  ),
  'payees-unchecked': share(
    'a coinbase need not pay its buyer',
    'pays-elsewhere',
    "return pays(coinbaseRule(terms), coinbase) ? undefined : 'share_unbound';",
    'return pays(coinbaseRule(terms), coinbase) ? undefined : undefined;',
  ),
  'outputs-may-move': coinbase(
    'the extranonce of a job may lie anywhere',
    'moves-outputs',
    'if (!isInside || (versionMask',
    'if ((versionMask',
  ),
  'all-bits-roll': coinbase(
    'a job may let all version bits roll',
    'rolls-bits-of-all',
    ' || (versionMask & ~BIP323_VERSION_MASK) !== 0',
  ),
  'tag-unchecked': without('maker/batch-verifier.ts')(
    'work under a seal need not name its contract',
    'sells-the-seal-twice',
    "if (needsContractTag(terms) && !hasContractTag(job, contractId)) return 'share_unbound';",
  ),
  'version-unchecked': share(
    'a share may have any version',
    'rolls-foreign-bits',
    "if (!versionInMask(shares.version(index), job.version, job.versionMask)) return 'share_bad';",
  ),
  'ntime-from-any': without('shares/rules.ts')(
    'a share may be of a time before its job',
    'sells-the-past',
    'ntime >= jobTime && ',
  ),
  'ntime-to-any': without('shares/rules.ts')(
    'a share may be of a time that no node takes',
    'sells-the-future',
    ' && ntime * 1000 <= nowMs + futureSeconds * 1000',
  ),
  'no-samples': binding(
    'no block is looked at',
    'conceals-blocks',
    'return drawn < samplePpm / 1_000_000;',
    'return drawn < 0;',
  ),
  'unshown-paid': binding(
    'a block that is not shown is paid for',
    'conceals-blocks',
    "return 'share_unshown';",
    'return undefined;',
  ),
  'unshown-forgotten': binding(
    'the job after one that was not shown is credited before it is looked at',
    'says-nothing-of-blocks',
    'owed: Math.max(owed, ',
    'owed: 0 * Math.max(owed, ',
  ),
  'invalid-blocks-paid': binding(
    'a block that the own node refuses is paid for',
    'invents-fees',
    "this.#end(job, judged, 'bad');",
    "judged.sample = { type: 'good' };",
  ),
  'invalid-blocks-forgotten': binding(
    'the job after one whose block was refused is credited before it is looked at',
    'invents-fees',
    'this.#record = { ...this.#record, owed: Number.POSITIVE_INFINITY };',
  ),
  'proposals-unasked': sample(
    'the own node is not asked whether it would take a block',
    'invents-fees',
    'fault: await blocks.proposalFault(blockOf(job, trial, transactions)),',
    'fault: undefined as string | undefined,',
  ),
  'refusals-inconclusive': sample(
    'any word of the own node against a block is taken for none',
    'invents-fees',
    '/^(inconclusive|duplicate)/',
    '/^/',
  ),
  'answers-at-any-time': sample(
    'the miner has all the time that it wants to show a block',
    'answers-late',
    'timers.after(this.#leftMs, ',
    'timers.after(this.#leftMs + 1e6, ',
  ),
  'never-strict': binding(
    'each job is credited while it is looked at, whatever was found of others',
    'says-nothing-of-blocks',
    'return this.#record.owed > 0;',
    'return this.#record.owed < 0;',
  ),
  'replaced-paid': binding(
    'a block that was replaced before it could be judged is paid for, where none is before its sample',
    'waits-for-blocks',
    'this.#replaced(job, judged);',
    'this.#settle(job, judged, result);',
  ),
  'inconclusive-unpaid': sample(
    'a block that the own node cannot judge is not paid for',
    'makes-no-blocks',
    "return { type: 'inconclusive', why: 'the own node did not judge it', isReplaced: false };",
    "return { type: 'bad', why: 'the own node did not judge it' };",
  ),
  'samples-without-template': binding(
    'a miner has to show blocks that the own node cannot judge',
    'makes-no-blocks',
    'this.#settle(job, judged, NO_BLOCKS);',
    "this.#missed(job, judged, 'unshown');",
  ),
  'unknown-unasked': sample(
    'transactions that the own mempool does not have are not asked for',
    'shows-unknown',
    'const result = await use(await asking.complete(shortIds, own ?? none));',
    'const result = await use([]);',
  ),
  'samples-forgotten': binding(
    'a maker that starts anew forgets which jobs were not shown',
    'conceals-blocks-over-starts',
    'this.#record = await loadSamples(this.#deps.ledger, this.#contractId);',
    'await loadSamples(this.#deps.ledger, this.#contractId);',
  ),
  'samples-asked-forgotten': binding(
    'a maker that starts anew forgets which jobs it waits to be shown',
    'conceals-blocks-while-asked',
    "return this.#record.drawn.includes(id) ? { type: 'drawn' } : undefined;",
    'return undefined;',
  ),
  'own-blocks-unseen': binding(
    'the maker looks for no block of the miner in a batch',
    'withholds-own-blocks',
    'this.#blocks.judge(cases);',
    'if (cases.length < 0) this.#blocks.judge(cases);',
  ),
  'own-blocks-late-forgotten': without('maker/found-blocks.ts')(
    'a maker that starts anew forgets how many blocks came late',
    'withholds-own-blocks-anew',
    'this.#solutions.restore(await loadSolutionCount(this.#deps.ledger, this.#contractId));',
    'await loadSolutionCount(this.#deps.ledger, this.#contractId);',
  ),
  'shown-blocks-forgotten': without('miner/found-blocks.ts')(
    'blocks that were answered are not shown again to a maker that starts anew',
    'disk-full-for-a-while',
    'for (const block of this.#shown)',
    'for (const block of [] as FoundBlock[])',
    177,
  ),
  'own-blocks-built-of-nothing': without('maker/found-blocks.ts')(
    'a block is published without the transactions that the maker does not have',
    'shows-own-blocks-unknown',
    'if (areOfJob(job, transactions)) return submit(transactions);',
    'return submit([]);',
  ),
  'fees-at-once': watch(
    'a job must claim the fees that came a moment ago',
    'fees-double',
    'const FEES_LAG_MS = 5 * 60_000;',
    'const FEES_LAG_MS = 1_000;',
  ),
  'fees-of-an-absence': without('maker/payout-binding.ts')(
    'work of the time that its miner was away must claim the fees that came since',
    'fees-double-away',
    'awaySinceMs !== undefined &&',
    'awaySinceMs === 0 &&',
  ),
  'fees-beyond-a-backlog': without('maker/payout-binding.ts')(
    'work without fees of a miner that was away is paid without end',
    'leaves-fees-out-away',
    "this.#judged.get(job)?.isLate === true ? 'share_unbound' : undefined",
    'undefined',
  ),
  'fees-at-start': watch(
    'a job that is older than the first look of a maker must claim the fees of that look',
    'fees-double-anew',
    'return isLong ? [{ atMs: sinceMs, feesSat: 0n, waitingFeesSat: 0n }] : [];',
    'return isLong && sinceMs > 0 ? [{ atMs: sinceMs, feesSat: 0n, waitingFeesSat: 0n }] : [];',
  ),
};
