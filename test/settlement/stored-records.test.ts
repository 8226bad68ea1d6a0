import { describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { signState } from '../../src/channel/states.ts';
import type { ContractTerms } from '../../src/contract/terms.ts';
import type { LedgerEntry } from '../../src/ledger/ledger.ts';
import {
  ackEntry,
  awardId,
  type ChannelRecord,
  type ContractRecord,
  channelEntry,
  contractCodec,
  contractEntry,
  deliveryEntry,
  equivocationEntry,
  fundingEntry,
  isUnfinished,
  loadContract,
  loadOpening,
  NOTHING_DELIVERED,
  parseBody,
  remainsEntry,
  requestEntry,
  requestId,
  standingStatus,
  stateEntry,
  unstored,
  watchedEntry,
} from '../../src/settlement/records.ts';
import { recorder } from '../chain/log-recorder.ts';
import { code, EH, makeBonds, makeParams, makerSigner, makeTerms, SEAL } from '../channel/fixtures.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';

const ID = 'cd'.repeat(32);
const terms = makeTerms();
const contractOf = (terms: ContractTerms): ContractRecord => ({
  ...{ version: 1, role: 'miner', terms, channelIndex: 7 },
  ...{ minerSignature: 'aa'.repeat(64), makerSignature: 'bb'.repeat(64) },
});
const CHANNEL: ChannelRecord = {
  ...{
    version: 1,
    role: 'miner',
    status: 'open',
    reason: '',
    fundingTxid: 'ab'.repeat(32),
    fundingVout: 0,
  },
  ...{ n: 3, workHashes: 4n * EH, paidSat: 5n, closeTx: undefined, closeFeeSat: undefined },
};
const state = signState(makeParams(), 3, 4n * EH, makerSigner);

async function ledgerWith(...entries: readonly LedgerEntry[]): Promise<MemoryLedger> {
  const ledger = new MemoryLedger();
  for (const entry of entries) await ledger.append([entry]);
  return ledger;
}

describe('the records of a contract', () => {
  it('are loaded as they were stored, with the newest state and what else is known', async () => {
    const contract = contractEntry(ID, contractOf(terms));
    const bare = await ledgerWith(contract);
    expect(await loadContract(bare, ID)).toEqual({
      ...{ contractId: ID, contract: contractOf(terms), ackedN: -1, isBroken: false, isOver: false },
      ...{ opening: undefined, fundingTx: undefined, channel: undefined, last: undefined },
      delivery: undefined,
    });
    expect(await loadContract(bare, 'ee'.repeat(32))).toBeUndefined();
    expect(await loadOpening(bare, ID)).toBeUndefined();
    const delivery = { ...NOTHING_DELIVERED, nextSeq: 9, confirmedHashes: 5n, explainedSeq: 3 };
    const full = await ledgerWith(
      ...[contract, stateEntry(ID, state), channelEntry(ID, { ...CHANNEL, askedHeight: 11 })],
      ...[fundingEntry(ID, '00ff'), deliveryEntry(ID, delivery), ackEntry(ID, 2, 'aa')],
      ...[equivocationEntry(ID, state, state), watchedEntry(ID)],
    );
    expect(await loadContract(full, ID)).toEqual({
      ...{ contractId: ID, contract: contractOf(terms), ackedN: 2, isBroken: true, isOver: true },
      ...{ opening: undefined, fundingTx: '00ff', channel: { ...CHANNEL, askedHeight: 11 }, last: state },
      delivery,
    });
    // The proof of another contract is none of this one.
    const other = await ledgerWith(contract, equivocationEntry('ee'.repeat(32), state, state));
    expect((await loadContract(other, ID))!.isBroken).toBe(false);
  });

  it('lie under names that sort', () => {
    expect(stateEntry(ID, state).type === 'insert' && stateEntry(ID, state)).toMatchObject({
      id: `${ID}:0000000003`,
    });
    expect(awardId(ID, { txid: 'aa', vout: 2 })).toBe(`${ID}:aa:2`);
    expect(requestId(ID, 'what')).toBe(`${ID}:what`);
    expect(requestEntry(ID, 'what', 'text')).toEqual({
      ...{ type: 'put', kind: 'request', id: `${ID}:what` },
      body: '{"what":"what","psbt":"text"}',
    });
  });

  it('that cannot be read are corrupt, and say which', async () => {
    for (const body of ['{', '{}', 'null', '[]'])
      expect(() => parseBody('contract', contractCodec, body)).toThrow(
        /^ledger_corrupt: a contract record: /,
      );
    const ledger = await ledgerWith({ type: 'put', kind: 'opening', id: ID, body: '{' });
    await expect(loadOpening(ledger, ID)).rejects.toThrow('ledger_corrupt: a opening record');
  });

  it('have the index of a channel as one number or two, and nothing else', () => {
    const parse = (channelIndex: unknown) => () =>
      contractCodec.parse({
        ...(contractCodec.print(contractOf(terms)) as object),
        channel_index: channelIndex,
      });
    for (const index of [0, 7, 2 ** 31 - 1, '0/1', `${2 ** 31 - 1}/5`])
      expect(parse(index)().channelIndex).toBe(index);
    for (const wrong of [-1, 0.5, 2 ** 31, '1', '1/2/3', '01/2', `${2 ** 31}/0`, null, [7], ['1/2']])
      expect(code(parse(wrong)), JSON.stringify(wrong)).toBe('protocol');
  });
});

describe('a contract', () => {
  const unfinished = async (status: string | undefined, of = terms, ...entries: LedgerEntry[]) => {
    const channel = status === undefined ? [] : [channelEntry(ID, { ...CHANNEL, status } as ChannelRecord)];
    const ledger = await ledgerWith(contractEntry(ID, contractOf(of)), ...channel, ...entries);
    return isUnfinished((await loadContract(ledger, ID))!, ledger);
  };

  it('is unfinished from its channel on, until that is watched to its end', async () => {
    expect(await unfinished(undefined)).toBe(false);
    expect(await unfinished('failed')).toBe(false);
    for (const status of ['opening', 'funding', 'open', 'closing', 'frozen'])
      expect(await unfinished(status, terms, watchedEntry(ID)), status).toBe(true);
    expect(await unfinished('closed')).toBe(true);
    expect(await unfinished('closed', terms, watchedEntry(ID))).toBe(false);
  });

  it('with bonds or a seal is unfinished until nothing is left of them either', async () => {
    for (const of of [makeTerms({ bonds: makeBonds('auditor') }), makeTerms({ seal: SEAL })]) {
      expect(await unfinished('closed', of, remainsEntry(ID))).toBe(true);
      expect(await unfinished('closed', of, watchedEntry(ID))).toBe(true);
      expect(await unfinished('closed', of, watchedEntry(ID), remainsEntry(ID))).toBe(false);
    }
  });

  it('that an earlier version froze stands where its records leave it', () => {
    const standing = (change: Partial<ChannelRecord>, fundingTx?: string): string =>
      standingStatus({ ...CHANNEL, status: 'frozen', ...change }, fundingTx);
    expect(standing({})).toBe('opening');
    expect(standing({}, '00')).toBe('open');
    expect(standing({ n: 0 }, '00')).toBe('funding');
    expect(standing({ closeTx: '00' }, '00')).toBe('closing');
    expect(standing({ status: 'closed' })).toBe('closed');
  });

  it('whose deed was not recorded says so', () => {
    const { lines, log } = recorder();
    unstored(ID, log)(new CodedError('overload', 'full'));
    const fields = { contract: ID, code: 'overload', detail: 'overload: full' };
    expect(lines).toEqual([['error', fields, 'not recorded; done all the same']]);
  });
});
