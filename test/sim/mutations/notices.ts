import { type Mutations, without } from './mutation.ts';

const lifecycle = without('channel/lifecycle.ts');
const state = without('contract/delivery-state.ts');
const notices = without('contract/notices.ts');
const board = without('settlement/notice-board.ts');
const records = without('settlement/notice-records.ts');

/** What follows from notices, undone. */
export const OF_NOTICES: Mutations = {
  'curtailment-not-excused': state(
    'work is due in the blocks of a notice',
    'pauses-by-notice',
    'return height >= curtailedFrom && height < curtailedUntil;',
    'return height < curtailedFrom && height >= curtailedUntil;',
  ),
  'notice-never-told': board(
    'a notice of curtailment is in no report',
    'pauses-by-notice',
    'this.#givenNotice = this.#notices.untold;',
    'this.#givenNotice = undefined;',
  ),
  'pause-not-seen': lifecycle(
    'a pause holds nothing back',
    'maker-pauses',
    'const isPaused = isHeld || isPausedAt(notices, tipHeight);',
    'const isPaused = isHeld || (isPausedAt(notices, tipHeight) && tipHeight < 0);',
  ),
  'pause-told-once': board(
    'a pause is not told again on a new connection',
    'maker-pauses',
    'if (pause !== undefined && !isOver) await',
    'if (pause !== undefined && isOver) await',
    2,
  ),
  'end-not-counted': notices(
    'a notice of the end has no effect',
    'ends-by-notice',
    'return Math.min(Number.POSITIVE_INFINITY, ...heights);',
    'return Math.max(Number.POSITIVE_INFINITY, ...heights);',
  ),
  'notices-forgotten': records(
    'a start forgets what was said before',
    'ends-by-notice',
    'if (body === undefined) return NO_NOTICES;',
    'if (body !== "") return NO_NOTICES;',
    2,
  ),
  'void-not-seen': lifecycle(
    'a contract that was given up goes on',
    'gives-up',
    "return onStream(options, draft, { type: 'voided' }, nowMs);",
    'return draft;',
  ),
};
