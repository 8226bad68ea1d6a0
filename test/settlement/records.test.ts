import { expect, it } from 'vitest';
import { nullable, object, text } from '../../src/peer/codec.ts';
import { type ChannelRecord, channelEntry, parseBody } from '../../src/settlement/records.ts';

const RECORD: ChannelRecord = {
  version: 1,
  role: 'miner',
  status: 'open',
  reason: '',
  fundingTxid: 'ab'.repeat(32),
  fundingVout: 0,
  n: 3,
  workHashes: 4n,
  paidSat: 5n,
  closeTx: undefined,
  closeFeeSat: undefined,
};

it('a channel without a close has null for it on disk, and undefined in memory', () => {
  const entry = channelEntry('cd'.repeat(32), RECORD);
  expect(entry.body).toBe(
    `{"version":1,"role":"miner","status":"open","reason":"","funding_txid":"${'ab'.repeat(32)}",` +
      '"funding_vout":0,"n":3,"work":"4","paid_sat":"5","close_tx":null,"close_fee_sat":null}',
  );
});

it('a field that may be null may not be missing, and one that may be missing may not be null', () => {
  const codec = object({ a: ['a', nullable(text(1))] }, { b: ['b', text(1)] });
  expect(codec.parse({ a: null })).toStrictEqual({ a: undefined });
  expect(codec.print({ a: undefined })).toStrictEqual({ a: null });
  for (const body of ['{}', '{"b":"x"}', '{"a":"x","b":null}'])
    expect(() => parseBody('k', codec, body)).toThrow(/ledger_corrupt/);
});
