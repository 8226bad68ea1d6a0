import { concat, fromHex, toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { taggedHash } from '../base/hash.ts';
import { canonicalJson, type Json } from '../base/json.ts';
import type { SignedState } from '../channel/states.ts';
import { moneyStreamOf } from '../contract/money-stream.ts';
import { type AgreedUpdate, type UpdateChange, updateField } from '../contract/update.ts';
import { type Revocation, updateId } from '../contract/update-course.ts';
import { segmentsOf, updatesOf } from '../contract/updated-terms.ts';
import { moneyStreamCodec } from '../peer/stream-codecs.ts';
import type { StoredContract } from '../settlement/records.ts';

/**
 * A contract as a money stream (ERC-1620 has the words): its fields, who has how much of it, and its events.
 * The sender is the market maker, the recipient the miner, the token the satoshi, and the clock is work.
 */

/** What a side has of a contract. */
export type StreamSource = {
  readonly stored: StoredContract;
  /** Every state on disk, by rising number. */
  readonly states: readonly SignedState[];
  readonly revoked: readonly Revocation[];
};

/** An event; `hash` covers it and, by `previous`, every one before it. */
export type ContractEvent = {
  readonly event: string;
  readonly previous: string;
  readonly hash: string;
  readonly [field: string]: Json;
};

type Fact = { readonly event: string; readonly [field: string]: Json };

/** `getStream` and `balanceOf`, by what is on disk. */
export function streamJson({ stored }: Pick<StreamSource, 'stored'>): { readonly [field: string]: Json } {
  const { contractId, contract, last, channel } = stored;
  const stream = moneyStreamCodec.print(moneyStreamOf(contractId, contract.terms, last));
  return { ...(stream as { readonly [field: string]: Json }), status: channel?.status ?? 'none' };
}

/** The events of a contract, oldest first: each of them signed by whoever it binds. */
export function contractEvents(source: StreamSource): readonly ContractEvent[] {
  const events: ContractEvent[] = [];
  let previous = source.stored.contractId;
  for (const fact of factsOf(source)) {
    const hash = hashOf(previous, fact);
    events.push({ ...fact, previous, hash });
    previous = hash;
  }
  return events;
}

function hashOf(previous: string, fact: Fact): string {
  const text = new TextEncoder().encode(canonicalJson(fact));
  return toHex(taggedHash('sharestream/event/1', concat(fromHex(previous, 32), text)));
}

function factsOf({ stored, states, revoked }: StreamSource): readonly Fact[] {
  const { contractId, contract, channel } = stored;
  const { terms } = contract;
  const facts: Fact[] = [
    {
      ...{
        event: 'LogCreate',
        stream: contractId,
        sender: terms.makerNodeId,
        recipient: terms.minerNodeId,
      },
      ...{ token: 'sat', deposit_sat: terms.budgetSat.toString() },
      payment_msat_per_eh: segmentsOf(terms)[0]!.msatPerEh.toString(),
      interval_hashes: terms.stepHashes.toString(),
      signatures: { recipient: contract.minerSignature, sender: contract.makerSignature },
    },
  ];
  const updates = [...updatesOf(terms)];
  const take = (workHashes: bigint): void => {
    for (let next = updates[0]; next !== undefined; next = updates[0]) {
      if (next.update.fromHashes >= workHashes) return;
      facts.push(...updateFacts(next));
      updates.shift();
    }
  };
  for (const state of states) {
    take(state.workHashes);
    facts.push(stateFact(state));
  }
  for (const next of updates) facts.push(...updateFacts(next));
  for (const { hashHex, own, peer } of revoked)
    facts.push({ event: 'LogRevokeUpdate', update: hashHex, own: own ?? null, other: peer ?? null });
  const paidSat = channel?.paidSat ?? 0n;
  if (channel?.closeTx !== undefined) {
    const balances = {
      recipient_sat: paidSat.toString(),
      sender_sat: (terms.budgetSat - paidSat).toString(),
    };
    const isWithdrawn = channel.reason === 'alone';
    const funds = isWithdrawn ? { funds_sat: paidSat.toString() } : balances;
    facts.push({
      event: isWithdrawn ? 'LogWithdraw' : 'LogRedeem',
      ...funds,
      transaction: channel.closeTx,
    });
  }
  return facts;
}

/** Ours: the pay of so much work. */
function stateFact({ n, workHashes, paidSat, receiptSignature }: SignedState): Fact {
  return {
    ...{ event: 'LogState', n, work_hashes: workHashes.toString(), paid_sat: paidSat.toString() },
    signatures: { sender: receiptSignature },
  };
}

function updateFacts({ update, minerSignature, makerSignature }: AgreedUpdate): readonly Fact[] {
  const content = updateField.print(update);
  const named = { update: updateId(update), content };
  return [
    { event: 'LogConfirmUpdate', confirmer: 'recipient', signature: minerSignature, ...named },
    { event: 'LogConfirmUpdate', confirmer: 'sender', signature: makerSignature, ...named },
    { event: 'LogExecuteUpdate', number: update.number, ...named },
  ];
}

/** What follows from the events alone. */
export type FoldedStream = UpdateChange & {
  readonly workHashes: bigint;
  readonly paidSat: bigint;
  readonly updates: number;
  readonly isOver: boolean;
};

/**
 * The state of a stream by its events. Throws `bad_evidence` for a chain that is not whole: an event that
 * was removed, edited or moved.
 */
export function foldEvents(contractId: string, events: readonly ContractEvent[]): FoldedStream {
  let previous = contractId;
  let folded: FoldedStream = { workHashes: 0n, paidSat: 0n, updates: 0, isOver: false };
  for (const { previous: before, hash, ...fact } of events) {
    if (before !== previous || hashOf(previous, fact) !== hash)
      throw new CodedError('bad_evidence', `event ${fact.event} does not follow the one before it`);
    folded = withEvent(folded, fact);
    previous = hash;
  }
  return folded;
}

function withEvent(folded: FoldedStream, fact: Fact): FoldedStream {
  switch (fact.event) {
    case 'LogCreate':
      return {
        ...folded,
        priceMsatPerEh: BigInt(String(fact['payment_msat_per_eh'])),
        stepHashes: BigInt(String(fact['interval_hashes'])),
      };
    case 'LogState':
      return {
        ...folded,
        workHashes: BigInt(String(fact['work_hashes'])),
        paidSat: BigInt(String(fact['paid_sat'])),
      };
    case 'LogExecuteUpdate': {
      const { priceMsatPerEh, stepHashes, stopHeight } = updateField.parse(fact['content'], 'update');
      return {
        ...{ ...folded, updates: folded.updates + 1 },
        ...(priceMsatPerEh === undefined ? {} : { priceMsatPerEh }),
        ...(stepHashes === undefined ? {} : { stepHashes }),
        ...(stopHeight === undefined ? {} : { stopHeight }),
      };
    }
    case 'LogWithdraw':
    case 'LogRedeem':
      return { ...folded, isOver: true };
    default:
      return folded;
  }
}
