import type { Action } from '../api/operation.ts';
import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import type { FleetTables } from './fleet-tables.ts';

/** `POST /api/v1/fleet/...`, of any instance: throws `wrong_status` and `not_found`. */
export function fleetActions(tables: FleetTables | undefined): Readonly<Record<string, Action>> {
  const shared = (): FleetTables => {
    if (tables !== undefined) return tables;
    throw new CodedError('wrong_status', 'the ledger is a file, and of one daemon alone: see ledger.url');
  };
  return {
    'fleet/drain': async (input) => {
      const { instance, isDryRun } = wordsOf(input);
      await shared().drain(instance, isDryRun);
      return { instance, drains: !isDryRun };
    },
    'fleet/move': async (input) => {
      const { instance, name, isDryRun } = wordsOf(input);
      const { resource, owner } = await shared().move(name, instance, isDryRun);
      return { name, resource, from: owner, to: instance, moves: !isDryRun };
    },
  };
}

function wordsOf(input: unknown): {
  readonly instance: string;
  readonly name: string;
  readonly isDryRun: boolean;
} {
  const { instance, name, dry_run: isDryRun } = isRecord(input) ? input : {};
  return { instance: String(instance), name: String(name), isDryRun: isDryRun === true };
}
