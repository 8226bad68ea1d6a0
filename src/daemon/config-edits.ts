import { existsSync } from 'node:fs';
import { CodedError } from '../base/errors.ts';
import type { ProxyConfig } from '../config/config.ts';
import type { Problem } from '../config/problems.ts';
import { silentLogger } from '../log/logger.ts';
import { editsWithoutEffect } from '../operator/configured-terms.ts';
import { ledgerPlaceOf, openLedgerForReading } from '../operator/ledger-place.ts';
import { configuredContract } from './configured-contract.ts';

/**
 * What of a configuration its contract does not follow, by the ledger: terms are signed, and a name stands
 * for one contract. Read beside a running daemon.
 */
export async function editsIgnored({
  dataDir,
  ledger: where,
  contract,
}: Pick<ProxyConfig, 'dataDir' | 'ledger' | 'contract'>): Promise<readonly Problem[]> {
  const place = ledgerPlaceOf({ dataDir, ledger: where });
  if (contract === undefined || (where.postgres === undefined && !existsSync(place.path))) return [];
  try {
    const ledger = await openLedgerForReading(place, { log: silentLogger });
    try {
      const known = await configuredContract(ledger, contract, () => Promise.resolve(0));
      if (known.type === 'finished')
        return [
          {
            path: 'contract.name',
            message: `is of a contract that is over (${known.reason}): name another`,
          },
        ];
      if (known.type !== 'running') return [];
      return editsWithoutEffect(known.terms, contract).map(({ term, running, configured }) => {
        const keeps = `the running contract keeps ${term} = ${running}`;
        return { path: 'contract', message: `has no effect with ${term} = ${configured}: ${keeps}` };
      });
    } finally {
      await ledger.close();
    }
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    const path = where.postgres === undefined ? 'data_dir' : 'ledger.url';
    return [{ path, message: `has a ledger that cannot be read: ${error.message}` }];
  }
}
