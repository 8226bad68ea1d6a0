import type { Action } from '../api/operation.ts';
import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import type { Maker } from '../maker/maker.ts';
import { type MakerSource, policyRows, settablePath } from '../operator/maker-policy.ts';

/** `POST /api/v1/policy/...` of a market maker, and what its pools paid. */
export function makerPolicyActions(
  maker: Maker,
  source: MakerSource | undefined,
): Readonly<Record<string, Action>> {
  const rows = (settings = maker.policies.settings): object => {
    if (source === undefined) throw new CodedError('config_invalid', 'the policy cannot be set here');
    const { isHalted = false } = maker.policy;
    return { halted: isHalted, policy: policyRows(source, settings) };
  };
  return {
    'pool/paid': async (input) => {
      const { pool, hashes } = isRecord(input) ? input : {};
      if (typeof pool !== 'string' || typeof hashes !== 'string' || !/^\d{1,30}$/.test(hashes))
        throw new CodedError('config_invalid', 'pool must be a name, and hashes a decimal string');
      const account = await maker.poolAccounts.paid(pool, BigInt(hashes));
      return { pool, paid_hashes: account.paidHashes, unpaid_hashes: account.unpaidHashes };
    },
    'policy/show': () => rows(),
    'policy/set': async (input) => {
      const changes = changesOf(input);
      if (isRecord(input) && input['dry_run'] === true) {
        const { settings } = maker.policies.check(changes);
        return { dry_run: true, ...rows(settings) };
      }
      await maker.policies.set(changes);
      return rows();
    },
  };
}

/** Throws `config_invalid`. */
function changesOf(input: unknown): Record<string, string | undefined> {
  const changes = isRecord(input) ? input['changes'] : undefined;
  if (!isRecord(changes) || Object.keys(changes).length === 0)
    throw new CodedError('config_invalid', 'nothing to set');
  return Object.fromEntries(
    Object.entries(changes).map(([name, value]) => {
      if (value !== null && typeof value !== 'string')
        throw new CodedError('config_invalid', `${name} must be text, or null`);
      return [settablePath(name), value ?? undefined];
    }),
  );
}
