import type { z } from 'zod';
import type { Action } from '../api/operation.ts';
import type { moneyStream } from '../api/shared-schemas.ts';
import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import type { MoneyStream } from '../contract/money-stream.ts';
import { moneyStreamCodec } from '../peer/stream-codecs.ts';
import type { ComparedStreams } from '../settlement/money-streams.ts';

/** A contract that is served, as a money stream. */
export type ServedStream = {
  readonly moneyStream: MoneyStream;
  /** See `compareStreams`. */
  compareStreams(): Promise<ComparedStreams>;
};

/**
 * `POST /api/v1/contract/stream`: a contract as a money stream, with `ask_peer` as the other side has it too,
 * and with `party` the balance of that party alone.
 * @param find throws `unknown_channel`
 */
export function streamActions(find: (input: unknown) => ServedStream): Readonly<Record<string, Action>> {
  return {
    'contract/stream': async (input) => {
      const side = find(input);
      const { party, ask_peer: asksPeer } = isRecord(input) ? input : {};
      if (party !== undefined) return balanceJson(side.moneyStream, party);
      if (asksPeer !== true) return streamView(side.moneyStream);
      const { own, other, differences } = await side.compareStreams();
      return {
        ...streamView(own),
        other_side: streamView(other),
        differences: differences ?? null,
      };
    },
  };
}

type StreamView = z.output<typeof moneyStream>;

/** A contract as a money stream, as it is shown. */
export function streamView(stream: MoneyStream): StreamView {
  return moneyStreamCodec.print(stream) as StreamView;
}

/** `balanceOf`. Throws `usage` for one that is no party of it. */
function balanceJson({ stream, sender, recipient, n, balances }: MoneyStream, party: unknown): object {
  const isRecipient = party === 'recipient' || party === recipient;
  if (!isRecipient && party !== 'sender' && party !== sender)
    throw new CodedError('usage', 'party must be sender, recipient, or the node id of either');
  const sat = isRecipient ? balances.recipientSat : balances.senderSat;
  return { stream, party: isRecipient ? recipient : sender, state: n, balance_sat: sat.toString() };
}
