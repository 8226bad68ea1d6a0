import { type Mutations, without } from './mutation.ts';

const verifier = without('maker/batch-verifier.ts');
const lifecycle = without('channel/lifecycle.ts');
const clock = without('contract/term-clock.ts');
const delivery = without('contract/delivery-state.ts');
const chains = without('contract/minute-chains.ts');
const prices = without('contract/index-price.ts');
const keeper = without('settlement/minute-keeper.ts');
const records = without('settlement/minute-records.ts');

/** Each check of the block clock of terms, undone. */
export const OF_TERMS: Mutations = {
  'early-work-credited': clock(
    'work on blocks before the start is credited',
    'sells-before-start',
    "if (height < from) return 'before';",
  ),
  'late-work-credited': verifier(
    'work on blocks after the end is credited',
    'sells-after-end',
    "return place === 'before' ? 'not_begun' : 'duration_over';",
    "return place === 'before' ? 'not_begun' : undefined;",
  ),
  'any-rate-credited': verifier(
    'work beyond the greatest rate is credited',
    'sells-too-fast',
    "else if (limit !== undefined && workHashes >= limit) codes[index] = 'over_rate';",
    "else if (limit !== undefined && workHashes < 0n) codes[index] = 'over_rate';",
  ),
  'any-price-confirmed': prices(
    'a price is confirmed whatever the own node says',
    'maker-reckons-otherwise',
    "if (isWanted) return 'confirm';",
    "return 'confirm';",
  ),
  'end-not-seen': lifecycle(
    'a contract goes on after its blocks',
    'starts-and-ends',
    "return tipHeight + Math.max(within, 0) >= end ? 'duration_over' : undefined;",
    'return tipHeight < 0 && tipHeight + within >= end ? "duration_over" : undefined;',
  ),
  'lapse-not-seen': lifecycle(
    'a contract that never began waits for work for ever',
    'never-begins',
    "if (!isBegun && isLapsed(options.terms, tipHeight + within)) return 'not_begun';",
  ),
  'nobody-defaults': delivery(
    'what is missing may be made up for ever',
    'delivers-nothing',
    "return height >= (state.cureByHeight ?? 0) ? { ...state, status: 'default' } : state;",
    'return state;',
  ),
  'hours-are-lost': records(
    'of each hour only the newest report is kept',
    'delivers-all',
    'bodyOf(hourCodec, { version: 1, reports, signature })',
    'bodyOf(hourCodec, { version: 1, reports: reports.slice(-1), signature })',
  ),
  'last-minutes-unheard': keeper(
    'a miner whose maker ended first asks for no more of its minutes',
    'delivers-nothing',
    'this.#askRest(minute);',
    '',
    5,
  ),
  'gaps-are-forgiven': chains(
    'a side that was down in a minute counts as not heard of yet',
    'gone-too-long',
    "return report.minute === minute ? report : 'down';",
    "return report.minute === minute ? report : 'unheard';",
  ),
};
