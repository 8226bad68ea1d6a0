import { describe, expect, it } from 'vitest';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import { systemRandom } from '../../src/base/random.ts';
import { makerKeysOf, minerKeysOf } from '../../src/channel/keys.ts';
import { signState } from '../../src/channel/states.ts';
import { contractIdOf } from '../../src/contract/terms.ts';
import type { RpcPeer } from '../../src/peer/rpc-peer.ts';
import { assembleChannel } from '../../src/settlement/opening.ts';
import { leaveBlob, type PeerBlob, sealBlob } from '../../src/settlement/peer-blob.ts';
import {
  contractEntry,
  loadContract,
  NOTHING_DELIVERED,
  openingEntry,
  stateEntry,
} from '../../src/settlement/records.ts';
import { entriesOf, healFromPeer } from '../../src/settlement/recovery.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { countedTimers } from '../chain/fake-node.ts';
import { recorder } from '../chain/log-recorder.ts';
import { code, makerSigner, makeTerms, minerSigner, PAYOUTS, strangerSigner } from '../channel/fixtures.ts';
import { funding as coins } from '../channel/psbt-fixtures.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';

const terms = makeTerms();
const ID = contractIdOf(terms);
const sideOf = (role: 'miner' | 'maker') => ({
  inputs: coins.inputs.filter((input) => input.role === role).map(({ role: _role, ...input }) => input),
  changeScript: PAYOUTS.p2wpkh(`${role} change`),
});
const open = {
  ...{ contractId: ID, keys: minerKeysOf(minerSigner, terms), funding: sideOf('miner') },
  payoutScript: PAYOUTS.p2wpkh('miner payout'),
};
const half = {
  ...{ keys: makerKeysOf(makerSigner, terms), funding: sideOf('maker'), feeRateSatPerKvb: 5000 },
  payoutScript: PAYOUTS.p2wpkh('maker payout'),
};
const { params, funding } = assembleChannel(terms, open as never, half as never);
const state0 = signState(params, 0, 0n, makerSigner);
const state = signState(params, 2, 10n ** 18n, makerSigner);
const BLOB = {
  ...{ version: 1, role: 'miner', state },
  contract: {
    ...{ version: 1, role: 'miner', terms, channelIndex: 7 },
    ...{ minerSignature: 'aa'.repeat(64), makerSignature: 'bb'.repeat(64) },
  },
  opening: { version: 1, open, accept: { ...half, state0 } },
} as unknown as PeerBlob;

describe('what a blob brings back', () => {
  it('is the contract, its opening and its state, and how far the funding was', async () => {
    for (const [fundingTx, status] of [
      [undefined, 'opening'],
      ['00ff', 'funding'],
    ] as const) {
      const ledger = new MemoryLedger();
      await ledger.append(
        entriesOf(ID, fundingTx === undefined ? BLOB : { ...BLOB, fundingTx }, undefined),
      );
      const stored = (await loadContract(ledger, ID))!;
      expect(stored).toMatchObject({ contractId: ID, fundingTx, last: state, delivery: undefined });
      expect(stored.channel).toEqual({
        ...{ version: 1, role: 'miner', status, reason: '', closeTx: undefined, closeFeeSat: undefined },
        ...{ fundingTxid: funding.txid, fundingVout: funding.vout },
        ...{ n: 2, workHashes: state.workHashes, paidSat: state.paidSat },
      });
    }
    const ledger = new MemoryLedger();
    await ledger.append(entriesOf(ID, BLOB, { ...NOTHING_DELIVERED, nextSeq: 5 }));
    expect((await loadContract(ledger, ID))!.delivery!.nextSeq).toBe(5);
  });

  it('is nothing where it is of another contract, another role, or half an opening', () => {
    const verdict = (id: string, change: object): string =>
      code(() => entriesOf(id, { ...BLOB, ...change }, undefined));
    expect(verdict(ID, {})).toBe('nothing thrown');
    expect(verdict('ee'.repeat(32), {})).toBe('bad_blob');
    expect(verdict(ID, { role: 'maker' })).toBe('bad_blob');
    expect(verdict(ID, { opening: { ...BLOB.opening, accept: undefined } })).toBe('bad_blob');
  });
});

describe('a ledger that was lost', () => {
  const seal = (signer = minerSigner): string => sealBlob(ID, BLOB, { signer, random: systemRandom });

  async function heal(blobs: readonly object[], ledger = new MemoryLedger()) {
    const { lines, log } = recorder();
    const asked: unknown[] = [];
    const peer = {
      request: async (method: string) => {
        asked.push(method);
        return { blobs };
      },
    } as unknown as RpcPeer;
    const healed = await healFromPeer(peer, { ledger, signer: minerSigner, log });
    return { healed, lines, ledger, asked };
  }

  it('has the contract again, once, and that is said', async () => {
    const kept = { contract_id: ID, blob: seal() };
    const { healed, lines, ledger, asked } = await heal([kept]);
    expect(asked).toEqual(['peer_storage.get']);
    expect(healed).toEqual([terms]);
    expect(lines).toEqual([['warn', { contract: ID }, 'a lost contract came back from the maker']]);
    expect((await loadContract(ledger, ID))!.last).toEqual(state);
    const again = await heal([kept], ledger);
    expect([again.healed, again.lines]).toEqual([[], []]);
  });

  it('goes on without a blob that does not open, and with the next', async () => {
    const other = 'ee'.repeat(32);
    const { healed, lines } = await heal([
      { contract_id: other, blob: seal() },
      { contract_id: ID, blob: seal(strangerSigner) },
      { contract_id: ID, blob: seal() },
    ]);
    expect(healed).toEqual([terms]);
    expect(lines.slice(0, 2)).toEqual(
      [other, ID].map((contract) => [
        'error',
        { contract, code: 'bad_blob' },
        'what the maker keeps cannot be used',
      ]),
    );
  });

  it('that takes no writes is no blob that cannot be used: both are said by their code', async () => {
    const ledger = new MemoryLedger();
    ledger.failNext(new CodedError('overload'));
    const { healed, lines } = await heal([{ contract_id: ID, blob: seal() }], ledger);
    expect([healed.length, lines[0]![1]]).toEqual([0, { contract: ID, code: 'overload' }]);
  });
});

describe('the own blob', () => {
  async function leave(answer: () => Promise<unknown>) {
    const time = new VirtualTime();
    const timers = countedTimers(time.timers);
    const { lines, log } = recorder();
    const ledger = new MemoryLedger();
    const { contract, opening } = BLOB;
    await ledger.append([contractEntry(ID, contract), openingEntry(ID, opening), stateEntry(ID, state)]);
    const [, , , channel] = entriesOf(ID, BLOB, undefined);
    await ledger.append([channel!]);
    const sent: { contract_id: string }[] = [];
    const closed = Promise.withResolvers<void>();
    const request = async (_method: string, given: { contract_id: string }): Promise<unknown> => {
      sent.push(given);
      return answer();
    };
    const peer = { request, closed: closed.promise } as unknown as RpcPeer;
    const deps = { ledger, signer: minerSigner, random: systemRandom, timers, log };
    const left = leaveBlob(peer, ID, deps).then(() => 'left', codeOf);
    return { time, timers, lines, sent, closed, left: await left };
  }
  const refuse = (error: Error) => () => Promise.reject(error);

  it('is left with the other side, and again a minute later where that came too soon', async () => {
    const taken = await leave(async () => ({}));
    expect([taken.left, taken.sent.length, taken.timers.pending]).toEqual(['left', 1, 0]);
    expect(taken.sent[0]).toMatchObject({ contract_id: ID });
    expect(taken.lines).toEqual([]);
    const early = await leave(refuse(new CodedError('too_often')));
    expect(early.lines).toEqual([
      ['info', { contract: ID, code: 'too_often' }, 'the other side keeps nothing for us'],
    ]);
    await early.time.advance(64_999);
    expect(early.sent).toHaveLength(1);
    await early.time.advance(1);
    expect(early.sent).toHaveLength(2);
    early.closed.resolve();
    await early.time.settle();
    expect(early.timers.pending).toBe(0);
  });

  it('that the other side does not keep is not left again, and a fault of ours is one', async () => {
    const none = await leave(refuse(new CodedError('unknown_method')));
    expect([none.left, none.timers.pending, none.lines.length]).toEqual(['left', 0, 1]);
    expect((await leave(refuse(new TypeError('a fault of ours')))).left).toBe('internal');
  });
});
