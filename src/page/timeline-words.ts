import type { Answer } from './api.ts';
import { STATES } from './words.ts';

export type Happening = Answer<'proxy', 'listTimeline'>;
type Tone = 'good' | 'warn' | 'bad' | 'idle';
/** What happened, and how that is. */
export type Told = { readonly tone: Tone; readonly says: string };

const told = (tone: Tone, says: string): Told => ({ tone, says });

/** Of a channel. */
const CHANNEL: Readonly<Record<string, string>> = {
  ...{ proposed: 'is agreed, and not funded yet', opening: 'is being funded' },
  ...{ funding: 'waits for its funding to confirm', open: 'is open', closing: 'closes' },
  ...{ closed: 'is closed', failed: 'never opened', none: 'is not there yet' },
};

/** A row of the timeline in words. */
export function toldOf(row: Happening): Told {
  return TELL[row.type](row);
}

const TELL: Readonly<Record<Happening['type'], (row: Happening) => Told>> = {
  start: ({ after }) => told('idle', `The proxy started (${after}).`),
  block: ({ before, after }) => {
    const count = Number(after) - Number(before);
    return told('good', `${count === 1 ? 'A block was' : `${count} blocks were`} found, ${after} in all.`);
  },
  switch: ({ before, after }) => {
    if (after === 'none') return told('bad', `Nothing gives work any more, after ${before}.`);
    if (before === 'none') return told('good', `Hashrate goes to ${after}.`);
    return told('idle', `Hashrate goes to ${after}, no longer to ${before}.`);
  },
  destination: ({ subject, after }) => {
    if (after === null) return told('idle', `${subject} was taken out.`);
    if (after === 'up') return told('good', `${subject} gives work.`);
    return told('warn', `${subject} is down.`);
  },
  contract: ({ subject, after }) =>
    told(after === 'live' ? 'good' : 'idle', `${subject} ${STATES[after ?? 'ended'] ?? after}.`),
  channel: ({ subject, after }) => {
    const tone = after === 'open' ? 'good' : after === 'failed' ? 'bad' : 'idle';
    return told(tone, `The channel of ${subject} ${CHANNEL[after ?? 'closed'] ?? after}.`);
  },
  peer: ({ subject, after }) => {
    if (after === 'connected') return told('good', `The market maker of ${subject} is connected.`);
    if (after === 'away') return told('warn', `The market maker of ${subject} is away.`);
    return told('idle', `The market maker of ${subject} is not needed any more.`);
  },
  ledger: ({ after }) => {
    if (after === 'sound') return told('good', 'The ledger is written again.');
    if (after === 'held') return told('bad', 'The ledger does not write: shares are refused.');
    return told('bad', 'The ledger is lost: miners are let go.');
  },
  node: ({ subject, after }) =>
    told(after === 'ready' ? 'good' : 'warn', `Bitcoin node ${subject}: ${after ?? 'taken out'}.`),
  chain: ({ after }) =>
    after === 'stalled'
      ? told('bad', 'No bitcoin node hears of new blocks.')
      : told('good', 'The bitcoin nodes hear of blocks again.'),
  came: (row) => told('idle', `${minersOf(row)} came.`),
  went: (row) => told('warn', `${minersOf(row)} went.`),
};

function minersOf({ before, after, note }: Happening): string {
  const others = Number(after) - Number(before) - 1;
  const name = note === '' || note === null ? 'A miner' : note;
  return others <= 0 ? name : `${name} and ${others} ${others === 1 ? 'other' : 'others'}`;
}
