import { concat, fromHex, toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { taggedHash } from '../base/hash.ts';
import { canonicalJson, type Json } from '../base/json.ts';
import type { ContractTerms } from './terms.ts';
import { type AgreedUpdate, type UpdateChange, updateField } from './update.ts';
import { updateId } from './update-course.ts';
import { paySatOf, segmentsOf, updatesOf } from './updated-terms.ts';

/**
 * The events of a contract as a money stream: a chain of hashes from the contract id on. Each commitment that
 * both sides sign has the head behind its own state, so that what either side says later is found.
 */

/** What happened. `signatures` are beside the chain: each is verified by itself. */
export type ContractFact = { readonly event: string; readonly [field: string]: Json };

/** An event; `hash` covers it and, by `previous`, every one before it. */
export type ContractEvent = ContractFact & { readonly previous: string; readonly hash: string };

/** What a state says. */
type StatePoint = { readonly n: number; readonly workHashes: bigint };

/** The hash behind a fact, 32 bytes. */
export function headAfter(before: Uint8Array, { signatures: _beside, ...fact }: ContractFact): Uint8Array {
  return taggedHash('sharestream/event/1', concat(before, new TextEncoder().encode(canonicalJson(fact))));
}

/** The events of these facts. */
export function chained(contractId: string, facts: readonly ContractFact[]): readonly ContractEvent[] {
  let head = fromHex(contractId, 32);
  return facts.map((fact) => {
    const previous = toHex(head);
    head = headAfter(head, fact);
    return { ...fact, previous, hash: toHex(head) };
  });
}

/** The first event. */
export function createFact(contractId: string, terms: ContractTerms): ContractFact {
  return {
    ...{ event: 'LogCreate', stream: contractId, sender: terms.makerNodeId, recipient: terms.minerNodeId },
    ...{ token: 'sat', deposit_sat: terms.budgetSat.toString() },
    payment_msat_per_eh: segmentsOf(terms)[0]!.msatPerEh.toString(),
    interval_hashes: terms.stepHashes.toString(),
  };
}

/** Ours: the pay of so much work. */
export function stateFact(terms: ContractTerms, { n, workHashes }: StatePoint): ContractFact {
  const paidSat = paySatOf(terms, workHashes);
  return { event: 'LogState', n, work_hashes: workHashes.toString(), paid_sat: paidSat.toString() };
}

/** An update that both signed. */
export function updateFacts({
  update,
  minerSignature,
  makerSignature,
}: AgreedUpdate): readonly ContractFact[] {
  const content = updateField.print(update);
  const named = { update: updateId(update), content };
  return [
    { event: 'LogConfirmUpdate', confirmer: 'recipient', signature: minerSignature, ...named },
    { event: 'LogConfirmUpdate', confirmer: 'sender', signature: makerSignature, ...named },
    { event: 'LogExecuteUpdate', number: update.number, ...named },
  ];
}

/** The updates by which work from one amount up to another goes first. */
export function updatesBetween(terms: ContractTerms, from: bigint, to: bigint): readonly AgreedUpdate[] {
  return updatesOf(terms).filter(({ update }) => update.fromHashes >= from && update.fromHashes < to);
}

/** A state that both have signed the head behind of. */
export type SignedHead = { readonly workHashes: bigint; readonly eventsHead: Uint8Array };

/**
 * The head behind a state that follows another one whose head both signed, or the beginning. States in
 * between that only one side has signed are not in the chain: it says the same at both.
 */
export function headOfState(
  contractId: string,
  terms: ContractTerms,
  base: SignedHead | undefined,
  state: StatePoint,
): Uint8Array {
  const first = (): Uint8Array => headAfter(fromHex(contractId, 32), createFact(contractId, terms));
  const updates = updatesBetween(terms, base?.workHashes ?? 0n, state.workHashes);
  const facts = [...updates.flatMap(updateFacts), stateFact(terms, state)];
  return facts.reduce(headAfter, base?.eventsHead ?? first());
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
  let head = contractId;
  let folded: FoldedStream = { workHashes: 0n, paidSat: 0n, updates: 0, isOver: false };
  for (const { previous, hash, ...fact } of events) {
    if (previous !== head || toHex(headAfter(fromHex(head, 32), fact)) !== hash)
      throw new CodedError('bad_evidence', `event ${fact.event} does not follow the one before it`);
    folded = withEvent(folded, fact);
    head = hash;
  }
  return folded;
}

function withEvent(folded: FoldedStream, fact: ContractFact): FoldedStream {
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
