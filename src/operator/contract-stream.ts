import type { Ledger } from '../ledger/ledger.ts';
import { commitmentRecordCodec } from '../peer/commitment-codecs.ts';
import { loadNotices } from '../settlement/notice-records.ts';
import {
  COMMITMENT_KIND,
  parseBody,
  STATE_KIND,
  type StoredContract,
  signedStateCodec,
} from '../settlement/records.ts';
import { loadUpdates } from '../settlement/update-records.ts';
import type { StreamSource } from './contract-events.ts';

/** Everything of one contract that its events are made of. Throws `ledger_corrupt`. */
export async function readStream(ledger: Ledger, stored: StoredContract): Promise<StreamSource> {
  const { contractId } = stored;
  const documents = await ledger.list(STATE_KIND, `${contractId}:`);
  const states = documents
    .map(({ body }) => parseBody(STATE_KIND, signedStateCodec, body))
    .toSorted((a, b) => a.n - b.n);
  const commitments = (await ledger.list(COMMITMENT_KIND, `${contractId}:`)).map(({ body }) =>
    parseBody(COMMITMENT_KIND, commitmentRecordCodec, body),
  );
  const { revoked } = await loadUpdates(ledger, contractId);
  const { said: notices } = await loadNotices(ledger, contractId, 'miner');
  return { stored, states, commitments, revoked, notices };
}
