import type { NoticeEvent, Notices } from '../../src/contract/notices.ts';
import type { TermsV3 } from '../../src/contract/terms.ts';

/** Terms by which a miner may stop for 60 blocks, and either side end after 100. */
export const TERMS_WITH_NOTICE: Partial<TermsV3> = {
  rate: { committed: 10n ** 15n, min: 10n ** 15n, max: 10n ** 16n },
  durationBlocks: 1008,
  end: { cancelFeePpm: 0, noticeBlocks: 100 },
  delivery: {
    ...{ windowMinutes: 1440, tolerancePpm: 20_000, curtailmentBlocks: 60, cureBlocks: 24 },
    falseDefaultAlphaPpm: 1000,
  },
};

/** Something that is said, so many blocks after what was said before. */
export type Said = {
  readonly blocks: number;
  readonly event: (height: number, state: Notices) => NoticeEvent;
};

const pauseOf = (blocks: number | undefined, ahead: number | undefined): Said['event'] => {
  return (height) => ({
    ...{ type: 'pause', reason: 'curtailment' },
    ...(blocks === undefined ? {} : { blocks }),
    ...(ahead === undefined ? {} : { fromHeight: height + ahead }),
  });
};

const EVENTS: readonly Said['event'][] = [
  pauseOf(undefined, undefined),
  ...[1, 20, 60].flatMap((blocks) => [pauseOf(blocks, undefined), pauseOf(blocks, 3), pauseOf(blocks, 50)]),
  () => ({ type: 'resume' }),
  (height) => ({
    type: 'peer_paused',
    pause: { reason: 'other', fromHeight: height, untilHeight: height + 9 },
  }),
  () => ({ type: 'peer_resumed' }),
  (_height, { untold }) =>
    untold === undefined ? { type: 'resume' } : { type: 'notice_told', notice: untold },
  () => ({ type: 'curtailed', blocks: 20 }),
  () => ({ type: 'end_given', sign: () => '00'.repeat(64) }),
  (_height, { ends }) =>
    ends.miner === undefined || ends.maker === undefined ? { type: 'resume' } : { type: 'end_taken' },
  (height) => ({ type: 'end_heard', height: height + 120, signature: '00'.repeat(64) }),
  () => ({ type: 'voided', unpaidSat: 7n }),
  () => ({ type: 'voided', unpaidSat: 9n }),
];

/** Anything that may be said. */
export const NOTICES: readonly Said[] = [0, 1, 7, 70].flatMap((blocks) =>
  EVENTS.map((event) => ({ blocks, event })),
);
