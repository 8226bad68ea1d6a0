import { type CloseSettlement, signClose } from '../../../src/channel/close.ts';
import type { ChannelParams } from '../../../src/channel/params.ts';
import type { Signer } from '../../../src/channel/signer.ts';
import type { SignedState } from '../../../src/channel/states.ts';
import { storedOf } from '../outcome.ts';
import type { Strategy } from '../strategy.ts';
import { alterLines, channelKeys, paid, paramsOf } from './tools.ts';

type Known = { readonly params: ChannelParams; readonly keys: Signer; readonly last: SignedState };

/** The miner asks the maker to close as it is told, with a signature that is good. */
const asks = (settlement: CloseSettlement, what: string): Strategy => {
  const known = new WeakMap<object, Known>();
  return {
    what: `the miner asks for a close early, ${what}`,
    row: 'table: a close together',
    hostile: ['miner'],
    options: () => ({ staked: true }),
    begin: ({ world }) =>
      alterLines(world, ({ about, message }) => {
        const own = known.get(world);
        if (about !== 'close.sig' || message.params === undefined || own === undefined) return [message];
        const feeSat = BigInt(String(message.params['fee_sat']));
        const signature = signClose(own.params, own.last, feeSat, 'miner', own.keys, settlement);
        return [{ ...message, params: { ...message.params, settlement, signature } }];
      }),
    step: async ({ world }) => {
      const [params, keys, stored] = await Promise.all([
        paramsOf(world),
        channelKeys(world, 'miner'),
        storedOf(world, 'miner'),
      ]);
      const last = stored?.last;
      if (params !== undefined && keys !== undefined && last !== undefined)
        known.set(world, { params, keys, last });
    },
    play: async (stage) => {
      await paid(stage, 1 + stage.random.below(4));
      void stage.world.miner?.close();
      await stage.rounds(4);
      await stage.liveOut();
    },
  };
};

const OPENING_MS = 60_000;

/** Signatures of a miner that are not what was agreed. */
export const BY_SIGNATURES: Readonly<Record<string, Strategy>> = {
  'asks-for-both-bonds': asks('maker_forfeits', 'by which it receives both bonds'),
  'signs-badly': {
    what: 'the miner opens a channel, and shows signatures of the funding that are none again and again',
    row: 'F17',
    hostile: ['miner'],
    options: () => ({ maker: { openingTimeoutMs: OPENING_MS } }),
    begin: ({ world }) =>
      alterLines(world, ({ about, message }) => {
        if (about !== 'channel.tx_signatures' || message.params === undefined) return [message];
        return [{ ...message, params: { ...message.params, psbt: '70736274ff' } }];
      }),
    play: async (stage) => {
      const { world } = stage;
      const { monotonicMs } = world.time.clock;
      while (monotonicMs() < 4 * OPENING_MS) {
        await world.time.advance(OPENING_MS / 6);
        await stage.rounds(1);
      }
      const channel = world.maker?.status[0]?.channel;
      if (channel === 'opening')
        stage.find('an opening that is not signed holds its coins for ever', channel);
      await stage.liveOut();
    },
  },
};
