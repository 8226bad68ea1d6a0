import { Transaction } from 'bitcoinjs-lib';
import { feeAt } from '../../../src/chain/fee-rate.ts';
import { capacitySat } from '../../../src/channel/amounts.ts';
import type { Stage } from '../stage.ts';
import type { Strategy } from '../strategy.ts';
import { SALE_BLOCKS } from '../terms.ts';
import { WALLETS } from '../world.ts';
import { coinOf, paid, paidInFull, payment, rob, send, silentOn } from './tools.ts';

/** A maker that keeps the close of the miner out of blocks by what it spends from it. */

const hostile = ['maker'] as const;

const PIN_OUTPUTS = 28;
/** Of a child with so many outputs. */
const PIN_VBYTES = 947;

/** The miner's state gets a child that is as large as the rules allow, and dear. */
function pin(stage: Stage, hex: string, feeSat = 20_000n): void {
  const coin = coinOf(hex, 'maker');
  if (coin === undefined || stage.left > SALE_BLOCKS + 1) return;
  const outputs = Array.from({ length: PIN_OUTPUTS }, () => ({ scriptHex: WALLETS.maker, valueSat: 600n }));
  const rest = coin.valueSat - feeSat - 600n * BigInt(outputs.length - 1);
  if (rest < 600n) return;
  outputs[0] = { scriptHex: WALLETS.maker, valueSat: rest };
  send(stage.world, 'the maker', 'a child that pins', payment('maker', coin, outputs, 3));
}

/** The maker signs no common close, and pins each state that the miner sends. */
function pinning(stage: Stage): void {
  stage.world.nodes.miner.onTaken = (hex) => pin(stage, hex);
  silentOn(stage, ['channel.shutdown', 'close.sig']);
}

/** A pin with which the close pays almost what blocks ask for. */
function pinBelow(stage: Stage, hex: string, satPerKvb: number): void {
  const close = Transaction.fromHex(hex);
  const outSat = close.outs.reduce((sum, { value }) => sum + value, 0n);
  const paidSat = capacitySat(stage.world.terms) - outSat;
  pin(stage, hex, feeAt(close.virtualSize() + PIN_VBYTES, satPerKvb - 100) - paidSat);
}

/** Markets in sat/vB in which a pinned close has to come through, from a channel that can pay for it. */
export const PINNED_MARKETS = [1, 2, 50, 320, 1_200] as const;

const pinnedAt = (satPerVb: number): Strategy => ({
  what: `the maker pins every close while blocks ask for ${satPerVb} sat/vB`,
  row: 'F8',
  hostile,
  options: () => ({
    terms: { priceMsatPerEh: 5_000_000n * 10n ** 18n, budgetSat: 1_000_000n, minerReserveSat: 20_000n },
  }),
  begin: pinning,
  play: async (stage) => {
    await paid(stage, 8);
    await stage.until(SALE_BLOCKS + 1);
    stage.world.setMarket(satPerVb * 1_000);
    await stage.liveOut();
  },
  step: (stage) => rob(stage, 320_000),
});

const watchedAt = (satPerVb: number): Strategy => ({
  what: `the machine of the miner is gone, a watch runs elsewhere, and the maker pins its close at ${satPerVb} sat/vB`,
  row: 'F7',
  hostile,
  options: () => ({
    watched: 'miner',
    terms: {
      ...{ priceMsatPerEh: 32_000_000n * 10n ** 18n, budgetSat: 6_400_000n, minerReserveSat: 20_000n },
      feeLadderSatPerKvb: [1_100, 5_000, 20_000, 80_000, 320_000],
    },
  }),
  begin: (stage) => {
    pinning(stage);
    stage.world.watchNode.onTaken = (hex) => pin(stage, hex);
  },
  play: async (stage) => {
    await paid(stage, 8);
    await stage.vanish('miner');
    await stage.until(SALE_BLOCKS + 1);
    stage.world.setMarket(satPerVb * 1_000);
    await stage.liveOut();
  },
  // A refund for more than any rung pays.
  step: (stage) => rob(stage, 800_000),
  judge: (stage, books) => {
    const height = books.close?.height ?? Infinity;
    const { expiryHeight } = stage.world.terms;
    if (height <= expiryHeight) return paidInFull(stage, books);
    return [{ rule: 'the watch closes beyond the expiry', seen: `${height} of ${expiryHeight}` }];
  },
});

export const BY_PINS: Readonly<Record<string, Strategy>> = {
  ...Object.fromEntries(PINNED_MARKETS.map((market) => [`watched-at-${market}`, watchedAt(market)])),
  ...Object.fromEntries(PINNED_MARKETS.map((market) => [`pinned-at-${market}`, pinnedAt(market)])),
  'pins-close': {
    what: 'the maker pins the close with one large child while blocks are dear',
    row: 'F8',
    hostile,
    begin: pinning,
    play: async (stage) => {
      await paid(stage, 4);
      await stage.until(SALE_BLOCKS + 1);
      stage.world.setMarket(60_000);
      await stage.liveOut();
    },
    step: (stage) => rob(stage, 320_000),
  },
  'pins-below-market': {
    what: 'the maker pins the close to almost what blocks ask for, and the node of the miner says far less',
    row: 'F8',
    hostile,
    options: () => ({ terms: { feeLadderSatPerKvb: [1_100, 2_500, 30_000] } }),
    begin: (stage) => {
      silentOn(stage, ['channel.shutdown', 'close.sig']);
      stage.world.nodes.miner.onTaken = (hex) => pinBelow(stage, hex, 4_000);
    },
    play: async (stage) => {
      await paid(stage, 4);
      await stage.until(SALE_BLOCKS + 1);
      stage.world.nodes.miner.saidSatPerKvb = 1_000;
      stage.world.setMarket(4_000);
      await stage.liveOut();
    },
    step: (stage) => rob(stage),
  },
  'pins-at-the-end': {
    what: 'the maker pins the close of a miner that comes back two blocks before the expiry',
    row: 'F8',
    hostile,
    begin: pinning,
    play: async (stage) => {
      await paid(stage, 4);
      stage.gone.add('miner');
      await stage.world.kill('miner', 0);
      await stage.until(3);
      stage.world.setMarket(60_000);
      await stage.until(2);
      stage.gone.delete('miner');
      await stage.liveOut();
    },
    step: (stage) => rob(stage, 320_000),
  },
};
