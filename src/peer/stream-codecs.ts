import type { MoneyStream } from '../contract/money-stream.ts';
import { type Codec, decimal, hexOf, integer, nullable, object, oneOf } from './codec.ts';

const key = hexOf(32);
const height = nullable(integer(0, 500_000_000));

/** Codec of a contract as a money stream: on the wire, and as it is shown. */
export const moneyStreamCodec: Codec<MoneyStream> = object({
  ...{ stream: ['stream', key], sender: ['sender', key], recipient: ['recipient', key] },
  token: ['token', oneOf('sat')],
  depositSat: ['deposit_sat', decimal],
  balanceSat: ['balance_sat', decimal],
  timeframe: [
    'timeframe',
    object({
      startHeight: ['start_height', height],
      stopHeight: ['stop_height', height],
      durationBlocks: ['duration_blocks', height],
      expiryHeight: ['expiry_height', integer(0, 500_000_000)],
    }),
  ],
  rate: [
    'rate',
    object({
      paymentMsatPerEh: ['payment_msat_per_eh', decimal],
      intervalHashes: ['interval_hashes', decimal],
      workTotalHashes: ['work_total_hashes', decimal],
    }),
  ],
  updates: ['updates', integer(0, 1000)],
  n: ['state', integer(0, 2 ** 31)],
  workHashes: ['work_hashes', decimal],
  balances: [
    'balances',
    object({ recipientSat: ['recipient_sat', decimal], senderSat: ['sender_sat', decimal] }),
  ],
});

/** A question of either side (`MARKET.md`, Updates): nothing changes by it. */
export const streamMethods = {
  'contract.stream': {
    params: object({ contractId: ['contract_id', key] }),
    result: object({ stream: ['stream', moneyStreamCodec] }),
  },
} as const;
