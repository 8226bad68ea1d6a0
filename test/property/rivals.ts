import type { Proof } from './invariants.ts';

/** What users of other markets and streams complain of, and the test that holds that it is not so here. */
export const RIVALS: Readonly<Record<string, Extract<Proof, { readonly file: string }>>> = {
  'delivery is not guaranteed': {
    file: 'test/contract/delivery-state.test.ts',
    titles: [
      'that stops is in cure within minutes, and in default when the time to make it up is over',
      'that is made up in time is live again, and stays so',
    ],
  },
  'nobody can say whose fault it was': {
    file: 'test/contract/minutes.test.ts',
    titles: ['is no side that did not say so itself, and whose report does not show it'],
  },
  'shares are refused, and no word why': {
    file: 'test/maker/refusals.test.ts',
    titles: ['are counted by codes that there are, however many words it has'],
  },
  'machines that ignore set_extranonce lose their shares when hashrate moves': {
    file: 'test/mining/split.e2e-test.ts',
    titles: ['converges three to one without a disconnect, and is accounted for to the hash'],
  },
  'proxies behind proxies have no extranonce2 left': {
    file: 'test/maker/work-binding.test.ts',
    titles: ['that leaves too little extranonce2 gives no work'],
  },
  'the buyer pays for churn, or churns the seller out of its pay': {
    file: 'test/maker/work-jobs.test.ts',
    titles: ['are withdrawn so often on one block, and what may not be stays in force'],
  },
  'pay is some percent low, and nobody can check it': {
    file: 'test/e2e/audit.e2e-test.ts',
    titles: ['reproduces every sat of a contract of two daemons from the export of either'],
  },
  'a cancelled stream forgets the debt (LlamaPay)': {
    file: 'test/maker/notices.test.ts',
    titles: ['of the maker signs what is earned, and then both close'],
  },
  'work above the rate is free for the buyer (Lumerin)': {
    file: 'test/property/streams.test.ts',
    titles: ['counts every hash reported, credited or beyond the contract'],
  },
  'a contract that delivered a seventh counts as completed, and is paid by the clock (Lumerin)': {
    file: 'test/property/sixty-th-week.test.ts',
    titles: ['a seventh of the week is paid by its work, and is no completed contract'],
  },
};
