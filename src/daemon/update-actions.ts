import type { Action } from '../api/operation.ts';
import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { parseDecimal } from '../base/units.ts';
import { type AgreedUpdate, agreedUpdateField, type Update, updateField } from '../contract/update.ts';
import { type UpdatesState, updateId } from '../contract/update-course.ts';
import { newestPriceMsatPerEh, stepHashesOf, stopHeightOf, updatesOf } from '../contract/updated-terms.ts';
import type { ContractUpdates, WantedUpdate } from '../settlement/contract-updates.ts';

/** The updates of a contract; throws `unknown_channel` where it is not served. */
type FindUpdates = (input: unknown) => { readonly contract: string; readonly updates: ContractUpdates };

/**
 * `POST /api/v1/contract/update`, `confirm`, `revoke` and `updates`. With `dry_run` nothing is signed: the
 * answer is what stands, and for an update whether its terms would hold.
 */
export function updateActions(find: FindUpdates): Readonly<Record<string, Action>> {
  const actionOf =
    (act: (updates: ContractUpdates, wanted: WantedUpdate) => Promise<unknown>): Action =>
    async (input) => {
      const { contract, updates } = find(input);
      const isDryRun = isRecord(input) && input['dry_run'] === true;
      const wanted = wantedOf(input);
      if (!isDryRun) await act(updates, wanted);
      else if (Object.keys(wanted).length > 0) updates.check(wanted);
      return { contract, dry_run: isDryRun, ...updatesJson(updates.state) };
    };
  return {
    'contract/update': actionOf((updates, wanted) => updates.propose(wanted)),
    'contract/confirm': actionOf((updates) => updates.confirm()),
    'contract/revoke': actionOf((updates) => updates.revoke()),
    'contract/updates': actionOf(async () => {}),
  };
}

/** Throws `usage`. */
function wantedOf(input: unknown): WantedUpdate {
  const fields = isRecord(input) ? input : {};
  const amount = (name: string): bigint | undefined => {
    if (fields[name] === undefined) return undefined;
    try {
      return parseDecimal(fields[name], name);
    } catch (error) {
      throw new CodedError('usage', (error as Error).message);
    }
  };
  const { stop_height: stopHeight } = fields;
  if (stopHeight !== undefined && !(Number.isInteger(stopHeight) && Number(stopHeight) > 0))
    throw new CodedError('usage', 'stop_height must be a whole number');
  const wanted = {
    ...{ priceMsatPerEh: amount('price_msat_per_eh'), stepHashes: amount('step_hashes') },
    ...{ fromHashes: amount('from_hashes'), stopHeight: stopHeight as number | undefined },
  };
  const named = Object.entries(wanted).filter(([, value]) => value !== undefined);
  return Object.fromEntries(named) as WantedUpdate;
}

function updatesJson(state: UpdatesState): object {
  const { terms, pending, revoked } = state;
  const named = (update: Update): object => ({
    hash: updateId(update),
    ...(updateField.print(update) as object),
  });
  const agreed = (each: AgreedUpdate): object => ({
    ...{ hash: updateId(each.update), ...(agreedUpdateField.print(each) as object) },
  });
  return {
    agreed: updatesOf(terms).map(agreed),
    pending: pending === undefined ? null : { by: pending.by, ...named(pending.update) },
    revoked: revoked.map(({ hashHex, own, peer }) => ({
      ...{ hash: hashHex, own_signature: own ?? null, peer_signature: peer ?? null },
    })),
    price_msat_per_eh: newestPriceMsatPerEh(terms).toString(),
    step_hashes: stepHashesOf(terms).toString(),
    stop_height: stopHeightOf(terms) ?? null,
  };
}
