import type { ActionSpec } from './action.ts';
import { sats } from './format.ts';

/** What of a contract says what can be done with it, at either side. */
export type ActedContract = {
  readonly id: string;
  readonly name: string;
  readonly state: string;
  readonly channel: {
    readonly state: string;
    readonly signed_sat: string;
    readonly accrued_sat: string;
    readonly unspent_sat: string;
  };
};

const OVER = ['closing', 'closed', 'failed', 'none'];

/** What can be done with a contract as it stands. */
export function contractActions({ id, name, state, channel }: ActedContract): readonly ActionSpec[] {
  const body = { contract: id };
  if (OVER.includes(channel.state)) return [];
  const money = `${sats(channel.signed_sat)} are signed to the miner, ${sats(channel.unspent_sat)} go back to the maker`;
  const risk = `${sats(channel.accrued_sat)} are delivered and not signed for`;
  const pause: ActionSpec =
    state === 'paused'
      ? {
          ...{ path: 'contract/resume', title: 'Resume', body, hasPreview: true, phrase: `resume ${name}` },
          says: 'Ends the pause: hashrate goes to the contract again.',
        }
      : {
          ...{ path: 'contract/pause', title: 'Pause', hasPreview: true, phrase: `pause ${name}` },
          body: { ...body, reason: 'maintenance' },
          says: 'Gives notice of a pause for maintenance. Hashrate goes to the own pool meanwhile.',
        };
  return [
    ...(state === 'live' || state === 'paused' ? [pause] : []),
    {
      ...{ path: 'contract/topup', title: 'Top up', body, hasPreview: true, phrase: `top up ${name}` },
      says: 'Opens the next contract, with the same maker, for when this one is used up.',
    },
    {
      ...{ path: 'contract/withdraw', title: 'Settle', body, hasPreview: true, phrase: `settle ${name}` },
      says: `Takes what is earned on chain: the channel closes by one transaction. ${money}.`,
    },
    {
      ...{ path: 'channel/close', title: 'Close', body, phrase: `close ${name}`, isDangerous: true },
      says: `Closes the channel together with the maker: ${money}; ${risk}, and are signed first if the maker answers.`,
    },
    {
      ...{ path: 'channel/force-close', title: 'Close alone', body, isDangerous: true },
      phrase: `force close ${name}`,
      says: [
        `Broadcasts the newest state, without the maker: ${money}.`,
        `${risk}: they would be lost. The fee is one of its ladder;`,
        '"sharestream channel force-close --dry-run" shows the transaction.',
      ].join(' '),
    },
  ];
}
